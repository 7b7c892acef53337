"""Passages that a search leaves out: never in the result, never at the cost of its length."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.retriever.dense.index import Slots
from services.retriever.passages import visibility as visibility_module
from services.retriever.passages.store import Store
from services.retriever.passages.visibility import Visibility
from services.retriever.plan import Plan
from services.retriever.querymodel.choice import QueryModels
from services.retriever.querymodel.model import MEAN
from services.retriever.search import retrieve
from services.retriever.words.segment import Matches
from services.retriever.words.terms import english_stemmer
from tests.unit.retriever.corpora import (
    COMPONENT,
    NAMESPACE,
    PLAN,
    build,
    clustered,
    passage,
    request,
    train,
    unit,
)
from tests.unit.retriever.test_catalogue import FIRST, VECTORS, opened, put
from trimtab.contracts.retrieve import LAST_VEC
from trimtab.contracts.tensor import Matrix

STEM = english_stemmer()
BYTES = 700_000


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(1, 120),
    left_out=st.integers(0, 64),
    limit=st.integers(1, 60),
    with_ivf=st.booleans(),
    exact_below=st.sampled_from([0, 10_000]),
    words=st.sampled_from(["", "passage", "number7 number3"]),
)
def test_what_is_excluded_never_comes_out_and_the_rest_fills_the_pool(
    seed: int,
    count: int,
    left_out: int,
    limit: int,
    with_ivf: bool,
    exact_below: int,
    words: str,
) -> None:
    rng = np.random.default_rng(seed)
    vectors = clustered(rng, count, 5)
    query = unit(rng, 1)[0]
    nearest = np.argsort(-(vectors @ query))[:left_out]
    excluded = [f"p{slot}" for slot in nearest]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(visibility_module, "EXACT_BELOW", exact_below)
        edition, _ = build(vectors)
        if with_ivf:
            train(edition, nlist=max(1, count // 4))
        asked = msgspec.structs.replace(
            request(query, text=words, limit=limit, nprobe=1), exclude=excluded
        )
        found = retrieve(edition, asked, "public", STEM, BYTES).reply

    ids = [hit.id for hit in found.hits]
    assert not set(ids) & set(excluded)
    assert len(ids) == len(set(ids)) == min(limit, count - len(nearest))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(1, 120),
    rows=st.integers(1, 4),
    limit=st.integers(1, 60),
    with_ivf=st.booleans(),
    words=st.sampled_from(["", "passage", "number7 number3"]),
)
def test_what_was_read_never_comes_out_and_the_rest_fills_the_pool(
    seed: int, count: int, rows: int, limit: int, with_ivf: bool, words: str
) -> None:
    rng = np.random.default_rng(seed)
    vectors = clustered(rng, count, 5)
    read = vectors[:rows]
    edition, _ = build(vectors)
    if with_ivf:
        train(edition, nlist=max(1, count // 4))
    asked = request(unit(rng, 1)[0], text=words, limit=limit, nprobe=1)

    ids = [hit.id for hit in retrieve(edition, asked, "public", STEM, BYTES, None, read).reply.hits]

    assert not set(ids) & {f"p{slot}" for slot in range(len(read))}
    assert len(ids) == len(set(ids)) == min(limit, count - len(read))


@pytest.mark.parametrize("with_ivf", [False, True])
def test_copies_of_what_was_read_do_not_leave_too_few_others(with_ivf: bool) -> None:
    rng = np.random.default_rng(11)
    copied = unit(rng, 1)
    vectors = np.concatenate([np.repeat(copied, 400, axis=0), unit(rng, 100)])
    edition, _ = build(vectors)
    if with_ivf:
        train(edition, nlist=8)
    asked = request(copied[0], text="passage", limit=50, nprobe=1)

    found = retrieve(edition, asked, "public", STEM, BYTES, None, copied).reply

    assert len(found.hits) == 50
    assert all(int(hit.id[1:]) >= 400 for hit in found.hits)


def searches(
    vectors: NDArray[np.float32], plan: Plan, texts: list[str], tenants: list[str], text: str
) -> tuple[int, int]:
    """Return how often the lists are looked through when the first vector was read, and how many come out."""
    edition, _ = build(vectors, plan=plan, texts=texts, tenants=tenants)
    asked, turns = request(vectors[0], text=text, limit=50), []
    matches = edition.matches

    def counted(
        query: Sequence[str], limit: int, visible: visibility_module.VisibleSet, others: Slots
    ) -> Matches:
        turns.append(limit)
        return matches(query, limit, visible, others)

    edition.matches = counted  # type: ignore[method-assign]  # every plan here looks for words
    found = retrieve(edition, asked, "public", STEM, BYTES, None, vectors[:1]).reply
    return len(turns), len(found.hits)


def test_what_was_read_costs_a_tenant_that_sees_all_of_its_passages_no_further_search() -> None:
    vectors = unit(np.random.default_rng(13), 1000)
    tenants = ["public"] * 40 + ["acme"] * 960

    assert searches(vectors, PLAN, ["passage"] * 1000, tenants, "passage") == (1, 39)


def test_words_that_few_passages_hold_are_not_looked_for_deeper() -> None:
    vectors = unit(np.random.default_rng(14), 1000)
    only = msgspec.structs.replace(PLAN, legs=("words",))
    texts = ["rare"] * 30 + ["common"] * 970

    assert searches(vectors, only, texts, ["public"] * 1000, "rare") == (1, 29)


def test_a_model_leaves_out_its_context_and_not_the_passage_that_the_query_itself_is() -> None:
    vectors = clustered(np.random.default_rng(12), 40, 1)
    edition, _ = build(vectors)
    window = Matrix.of(vectors[:6])  # five texts of context, of which four are read, and the query
    asked = msgspec.structs.replace(request(vectors[5], limit=40), window=window, impl=MEAN)

    choice = QueryModels().choose(asked)
    found = retrieve(edition, choice.request(asked), "public", STEM, BYTES, None, choice.read)
    own = QueryModels().choose(msgspec.structs.replace(asked, impl=LAST_VEC))

    assert choice.read is not None
    np.testing.assert_array_equal(choice.read, vectors[1:5])
    ids = {hit.id for hit in found.reply.hits}
    assert ids == {f"p{slot}" for slot in (0, *range(5, 40))}
    assert own.read is None


async def test_the_worker_leaves_out_what_its_model_read(tmp_path: Path) -> None:
    put(tmp_path, 0, 60)
    asked = msgspec.structs.replace(
        request(VECTORS[4], limit=55), window=Matrix.of(VECTORS[:5]), impl=MEAN
    )
    async with opened(tmp_path, PLAN) as catalogue:
        found = await catalogue.retrieve(FIRST, asked, "public")

    assert {hit.id for hit in found.reply.hits}.isdisjoint({"p0", "p1", "p2", "p3"})
    assert len(found.reply.hits) == 55


def test_an_id_excludes_only_what_the_asking_tenant_may_see() -> None:
    vectors = clustered(np.random.default_rng(3), 4, 2)
    edition, _ = build(vectors, tenants=["acme", "globex", "public", "acme"])
    collection = edition.collection

    assert collection.slots_of(["p0", "p1", "p2", "nobody"], "acme").tolist() == [0, 2]
    assert collection.slots_of(["p0", "p1", "p2"], "globex").tolist() == [1, 2]


def test_the_store_finds_the_same_slots_by_its_index(tmp_path: Path) -> None:
    store = Store(tmp_path / "passages.db")
    rows = clustered(np.random.default_rng(4), 6, 2)
    docs = store.add_collection("docs", NAMESPACE, COMPONENT, rows.shape[1], 0)
    other = store.add_collection("other", NAMESPACE, COMPONENT, rows.shape[1], 0)
    owners = ["acme", "globex", "public", "acme", "public"]
    store.apply(
        [(docs, passage(i, rows[i], tenant=owner)) for i, owner in enumerate(owners)]
        + [(other, passage(0, rows[5], tenant="acme", sequence=9, collection="other"))],
        9,
    )

    found = store.slots_of(docs, ["p0", "p1", "p2", "p9"], ("acme", "public"))

    assert found.tolist() == [0, 2]
    assert store.slots_of(docs, ["p9"], ("acme",)).tolist() == []
    store.close()


def test_a_set_without_some_slots_holds_all_the_others() -> None:
    visibility = Visibility()
    visibility.put(np.arange(20, dtype=np.int64), ["public", "acme"] * 10)
    seen = visibility.of("public")

    less = seen.without(np.array([0, 2, 2, 3, 18, 400, -1], dtype=np.int64))

    assert less.slots().tolist() == [4, 6, 8, 10, 12, 14, 16]
    assert (less.count, less.everything) == (7, False)
    assert seen.count == 10
    assert seen.without(np.array([1], dtype=np.int64)) is seen
