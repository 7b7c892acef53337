"""What an edition finds, whether FLAT or IVF answers, and that editions of one collection stay apart."""

from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from services.retriever.dense.ivf import train_ivf
from services.retriever.edition import Edition
from services.retriever.passages import visibility as module
from services.retriever.passages.store import StoredPassage
from services.retriever.plan import nlist_for
from tests.unit.retriever.corpora import (
    PLAN,
    attached,
    build,
    clustered,
    passage,
    refresh_lexical,
    take_in,
    train,
    unit,
)

Vectors = NDArray[np.float32]
Make = Callable[..., Edition]


def flat(vectors: Vectors, tenants: list[str] | None = None) -> Edition:
    return build(vectors, tenants=tenants)[0]


def ivf(vectors: Vectors, tenants: list[str] | None = None) -> Edition:
    edition = flat(vectors, tenants)
    train(edition, nlist_for(len(vectors)))
    return edition


both = pytest.mark.parametrize("make", [flat, ivf])


def put(edition: Edition, slots: list[int], vectors: Vectors) -> None:
    """Store other vectors at ``slots``, known or new."""
    changed = [
        StoredPassage(slot, 5000 + slot, passage(slot, vector, text="new").hit, vector, b"")
        for slot, vector in zip(slots, vectors, strict=True)
    ]
    take_in(edition.collection, changed)


@both
def test_nearest_comes_first_with_its_cosine(make: Make) -> None:
    vectors = clustered(np.random.default_rng(0), 900, 20)
    edition = make(vectors)

    seen = edition.collection.visible("public")
    found = edition.nearest(vectors[77], 10, seen, nprobe=edition.nlist or 1)

    cosines = vectors @ vectors[77]
    assert found.slots[0] == 77
    assert found.cosines == pytest.approx(np.sort(cosines)[::-1][:10], abs=1e-5)
    assert found.cosines == pytest.approx(cosines[found.slots], abs=1e-5)


@both
def test_a_replaced_vector_is_found_where_it_is_now_and_not_where_it_was(make: Make) -> None:
    rng = np.random.default_rng(1)
    vectors = clustered(rng, 400, 10)
    edition = make(vectors)
    replacement = unit(rng, 1)

    put(edition, [5], replacement)

    seen = edition.collection.visible("public")
    assert edition.nearest(replacement[0], 1, seen, nprobe=20).slots.tolist() == [5]
    assert 5 not in edition.nearest(vectors[5], 1, seen, nprobe=20).slots
    assert edition.collection.vectors(np.array([5]))[0].tolist() == replacement[0].tolist()


@both
def test_added_vectors_are_found_at_once(make: Make) -> None:
    rng = np.random.default_rng(3)
    edition = make(clustered(rng, 300, 10))
    new = unit(rng, 50)

    put(edition, list(range(300, 350)), new)

    seen = edition.collection.visible("public")
    found = [edition.nearest(vector, 1, seen, nprobe=1).slots[0] for vector in new]
    assert found == list(range(300, 350))


@both
@pytest.mark.parametrize("exact_below", [0, 100, 10_000], ids=["selector", "mixed", "exact"])
def test_a_filter_returns_the_full_pool_and_only_visible_slots(
    make: Make, exact_below: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EXACT_BELOW", exact_below)
    rng = np.random.default_rng(4)
    vectors = clustered(rng, 1500, 30)
    owners = ["acme" if number % 150 == 0 else "globex" for number in range(1500)]
    edition = make(vectors, owners)
    seen = edition.collection.visible("acme")

    for query in unit(rng, 25):
        found = edition.nearest(query, 10, seen, nprobe=1)

        assert len(found.slots) == 10
        assert all(owners[slot] == "acme" for slot in found.slots)
        truth = edition.collection.nearest(query, 10, seen)
        assert set(found.slots.tolist()) == set(truth.slots.tolist())


@both
def test_fewer_visible_than_wanted_gives_them_all(make: Make) -> None:
    vectors = clustered(np.random.default_rng(5), 600, 12)
    edition = make(vectors, ["acme"] * 3 + ["globex"] * 597)

    seen = edition.collection.visible("acme")
    found = edition.nearest(vectors[500], 50, seen, nprobe=1)

    assert sorted(found.slots.tolist()) == [0, 1, 2]


@both
def test_a_tenant_that_sees_nothing_finds_nothing(make: Make) -> None:
    vectors = clustered(np.random.default_rng(6), 200, 8)
    edition = make(vectors, ["acme"] * 200)

    seen = edition.collection.visible("globex")

    assert edition.nearest(vectors[0], 10, seen, nprobe=4).slots.size == 0


def test_lists_catch_up_with_what_changed_while_they_were_made() -> None:
    rng = np.random.default_rng(11)
    vectors = clustered(rng, 500, 10)
    edition = flat(vectors)
    changed = unit(rng, 2)
    edition.begin_index()
    lists = train_ivf(edition.sample(128 * 20), 20)
    lists.extend(vectors, np.arange(500, dtype=np.int64))
    put(edition, [3, 500], changed)

    edition.adopt_index(lists)

    seen = edition.collection.visible("public")
    assert edition.kind == "ivf"
    for slot, vector in zip((3, 500), changed, strict=True):
        assert edition.nearest(vector, 1, seen, nprobe=20).slots.tolist() == [slot]


def test_lists_from_the_disk_catch_up_with_what_the_store_has_and_the_memory_not_yet() -> None:
    vectors = clustered(np.random.default_rng(12), 300, 10)
    edition = flat(vectors)
    edition.begin_index()
    lists = train_ivf(edition.sample(128 * 16), 16)
    lists.extend(vectors[:250], np.arange(250, dtype=np.int64))
    stored = np.arange(250, 310, dtype=np.int64)  # ten are on their way into the collection

    edition.adopt_index(lists, stored)

    seen = edition.collection.visible("public")
    assert lists.entries == 300
    assert edition.nearest(vectors[260], 1, seen, nprobe=16).slots.tolist() == [260]


def test_editions_of_one_collection_share_its_passages_and_answer_by_their_own_plan() -> None:
    vectors = clustered(np.random.default_rng(13), 400, 20)
    texts = [f"word{number} common" for number in range(400)]
    first, _ = build(vectors, texts=texts)
    plan = msgspec.structs.replace(PLAN, lexical=msgspec.structs.replace(PLAN.lexical, b=0.0))
    second = attached(first.collection, plan, "hybrid@2")
    refresh_lexical(second)
    train(second, nlist=10)

    new = unit(np.random.default_rng(14), 1)
    put(first, [400], new)

    seen = first.collection.visible("public")
    assert (first.kind, second.kind) == ("flat", "ivf")
    for edition in (first, second):
        assert edition.nearest(new[0], 1, seen, nprobe=10).slots.tolist() == [400]
        found = edition.matches(["word7"], 5, seen, np.empty(0, dtype=np.int64))
        assert found.slots.tolist() == [7]
    first.collection.detach(second)
    put(first, [401], -new)
    assert second.index is not None
    assert second.index.entries == 401
