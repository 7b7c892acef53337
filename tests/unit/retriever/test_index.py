"""FLAT and IVF-Flat behind one suite: the same rules hold for both."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from services.retriever import index as module
from services.retriever.index import (
    DenseIndex,
    UnreadableIndex,
    extend_ivf,
    nlist_for,
    train_ivf,
)
from services.retriever.visibility import Visibility, VisibleSet
from tests.unit.retriever.corpora import DIMENSION, clustered, unit

Vectors = NDArray[np.float32]
Make = Callable[[Vectors], DenseIndex]


def flat(vectors: Vectors) -> DenseIndex:
    index = DenseIndex(vectors.shape[1])
    index.put(np.arange(len(vectors), dtype=np.int64), vectors)
    return index


def ivf(vectors: Vectors) -> DenseIndex:
    index = flat(vectors)
    trained = train_ivf(vectors, nlist_for(len(vectors)))
    extend_ivf(trained, vectors, np.arange(len(vectors), dtype=np.int64))
    index.adopt(trained, np.empty(0, dtype=np.int64))
    return index


both = pytest.mark.parametrize("make", [flat, ivf])


def visible(count: int, tenants: list[str] | None = None, tenant: str = "public") -> VisibleSet:
    visibility = Visibility()
    visibility.put(np.arange(count, dtype=np.int64), tenants or ["public"] * count)
    return visibility.of(tenant)


@both
def test_nearest_comes_first_with_its_cosine(make: Make) -> None:
    vectors = clustered(np.random.default_rng(0), 900, 20)
    index = make(vectors)

    found = index.search(vectors[77], 10, visible(900), nprobe=index.nlist or 1)

    cosines = vectors @ vectors[77]
    assert found.slots[0] == 77
    assert found.cosines == pytest.approx(np.sort(cosines)[::-1][:10], abs=1e-5)
    assert found.cosines == pytest.approx(cosines[found.slots], abs=1e-5)


@both
def test_a_replaced_vector_is_found_where_it_is_now_and_not_where_it_was(make: Make) -> None:
    rng = np.random.default_rng(1)
    vectors = clustered(rng, 400, 10)
    index = make(vectors)
    replacement = unit(rng, 1)

    index.put(np.array([5]), replacement)

    found = index.search(replacement[0], 1, visible(400), nprobe=20)
    assert found.slots.tolist() == [5]
    assert 5 not in index.search(vectors[5], 1, visible(400), nprobe=20).slots
    assert index.vectors(np.array([5]))[0].tolist() == replacement[0].tolist()


@both
def test_a_removed_vector_never_comes_out_and_its_slot_can_be_used_again(make: Make) -> None:
    rng = np.random.default_rng(2)
    vectors = clustered(rng, 300, 10)
    index = make(vectors)
    visibility = Visibility()
    visibility.put(np.arange(300, dtype=np.int64), ["public"] * 300)

    index.remove(np.array([9]))
    visibility.remove(np.array([9]))
    gone = index.search(vectors[9], 300, visibility.of("public"), nprobe=1)
    index.put(np.array([9]), vectors[9:10])
    visibility.put(np.array([9]), ["public"])

    assert 9 not in gone.slots
    assert len(gone.slots) == 299
    assert index.search(vectors[9], 1, visibility.of("public"), nprobe=1).slots.tolist() == [9]


@both
def test_added_vectors_are_found_at_once(make: Make) -> None:
    rng = np.random.default_rng(3)
    index = make(clustered(rng, 300, 10))
    new = unit(rng, 50)

    index.put(np.arange(300, 350, dtype=np.int64), new)

    found = [index.search(vector, 1, visible(350), nprobe=1).slots[0] for vector in new]
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
    index = make(vectors)
    seen = visible(1500, owners, "acme")

    for query in unit(rng, 25):
        found = index.search(query, 10, seen, nprobe=1)

        assert len(found.slots) == 10
        assert all(owners[slot] == "acme" for slot in found.slots)
        truth = index.exact(query, 10, seen)
        assert set(found.slots.tolist()) == set(truth.slots.tolist())


@both
def test_fewer_visible_than_wanted_gives_them_all(make: Make) -> None:
    vectors = clustered(np.random.default_rng(5), 600, 12)
    owners = ["acme"] * 3 + ["globex"] * 597

    found = make(vectors).search(vectors[500], 50, visible(600, owners, "acme"), nprobe=1)

    assert sorted(found.slots.tolist()) == [0, 1, 2]


@both
def test_a_tenant_that_sees_nothing_finds_nothing(make: Make) -> None:
    vectors = clustered(np.random.default_rng(6), 200, 8)

    found = make(vectors).search(vectors[0], 10, visible(200, ["acme"] * 200, "globex"), nprobe=4)

    assert found.slots.size == 0


def test_the_empty_index_finds_nothing() -> None:
    index = DenseIndex(DIMENSION)

    assert index.search(unit(np.random.default_rng(0), 1)[0], 5, visible(0), 8).slots.size == 0
    assert index.size == 0


def test_more_probes_never_find_less() -> None:
    rng = np.random.default_rng(7)
    vectors = clustered(rng, 4000, 200)
    index = ivf(vectors)
    seen = visible(4000)
    queries = clustered(rng, 40, 40)

    def overlap(nprobe: int) -> float:
        shared = 0
        for query in queries:
            truth = set(index.exact(query, 10, seen).slots.tolist())
            shared += len(truth & set(index.search(query, 10, seen, nprobe).slots.tolist()))
        return shared / (10 * len(queries))

    assert overlap(1) < overlap(8) <= overlap(index.nlist) == 1.0


def test_lists_too_short_for_the_pool_are_topped_up_by_further_lists() -> None:
    vectors = clustered(np.random.default_rng(8), 400, 100)
    index = ivf(vectors)

    found = index.search(vectors[0], 100, visible(400), nprobe=1)

    assert len(found.slots) == 100


def test_training_is_deterministic() -> None:
    vectors = clustered(np.random.default_rng(9), 1000, 30)
    queries = unit(np.random.default_rng(10), 20)

    first, second = ivf(vectors), ivf(vectors)

    for query in queries:
        one = first.search(query, 10, visible(1000), nprobe=2)
        two = second.search(query, 10, visible(1000), nprobe=2)
        assert one.slots.tolist() == two.slots.tolist()


def test_an_ivf_index_catches_up_with_what_changed_while_it_was_trained() -> None:
    rng = np.random.default_rng(11)
    vectors = clustered(rng, 500, 10)
    index = flat(vectors)
    trained = train_ivf(vectors, 20)
    extend_ivf(trained, vectors, np.arange(500, dtype=np.int64))
    changed = unit(rng, 2)
    index.put(np.array([3, 500]), changed)

    index.adopt(trained, np.array([3, 500]))

    assert index.kind == "ivf"
    for slot, vector in zip((3, 500), changed, strict=True):
        assert index.search(vector, 1, visible(501), nprobe=20).slots.tolist() == [slot]


@pytest.mark.parametrize(
    ("passages", "nlist"), [(0, 1), (10_000, 100), (100_000, 316), (1_000_000, 1000)]
)
def test_nlist_is_about_the_square_root(passages: int, nlist: int) -> None:
    assert nlist_for(passages) == nlist


@both
def test_a_written_index_answers_the_same_after_reading(make: Make, tmp_path: Path) -> None:
    vectors = clustered(np.random.default_rng(12), 700, 20)
    before = make(vectors)
    before.write(tmp_path / "index.faiss")

    after = DenseIndex.read(tmp_path / "index.faiss", DIMENSION, 700, lambda: vectors)

    assert (after.kind, after.nlist, after.size) == (before.kind, before.nlist, before.size)
    for query in vectors[:20]:
        one = before.search(query, 10, visible(700), nprobe=3)
        two = after.search(query, 10, visible(700), nprobe=3)
        assert one.slots.tolist() == two.slots.tolist()
    after.put(np.array([0]), vectors[1:2])
    assert set(after.search(vectors[1], 2, visible(700), nprobe=3).slots.tolist()) == {0, 1}


@pytest.mark.parametrize("wrong", ["dimension", "count", "truncated", "not-an-index"])
def test_a_file_of_another_shape_is_refused(wrong: str, tmp_path: Path) -> None:
    vectors = clustered(np.random.default_rng(13), 300, 10)
    path = tmp_path / "index.faiss"
    ivf(vectors).write(path)
    data = path.read_bytes()
    if wrong == "truncated":
        path.write_bytes(data[: len(data) // 2])
    if wrong == "not-an-index":
        path.write_bytes(b"IxXX" + data[4:])

    with pytest.raises(UnreadableIndex):
        DenseIndex.read(
            path,
            DIMENSION + (wrong == "dimension"),
            300 + (wrong == "count"),
            lambda: vectors,
        )


def test_a_file_that_claims_more_than_it_holds_is_refused_by_the_limit(tmp_path: Path) -> None:
    vectors = clustered(np.random.default_rng(14), 300, 10)
    path = tmp_path / "index.faiss"
    flat(vectors).write(path)
    data = bytearray(path.read_bytes())
    # The header's length field of the codes: 300 * 16 floats, written as 64-bit count.
    at = data.rindex((300 * DIMENSION).to_bytes(8, "little"))
    data[at : at + 8] = (1 << 45).to_bytes(8, "little")
    path.write_bytes(data)

    with pytest.raises(UnreadableIndex):
        DenseIndex.read(path, DIMENSION, 300, lambda: vectors)
