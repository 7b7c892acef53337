"""FLAT and IVF-Flat as files and as lists: trained alike, written, read and refused."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from services.retriever.dense.flat import FlatVectors, UnreadableIndex, faiss
from services.retriever.dense.ivf import IvfLists, read_ivf, train_ivf
from services.retriever.passages.visibility import Visibility, VisibleSet
from services.retriever.plan import nlist_for
from tests.unit.retriever.corpora import DIMENSION, clustered, unit

Vectors = NDArray[np.float32]


def filled(vectors: Vectors) -> IvfLists:
    lists = train_ivf(vectors, nlist_for(len(vectors)))
    lists.extend(vectors, np.arange(len(vectors), dtype=np.int64))
    return lists


def flat(vectors: Vectors) -> FlatVectors:
    made = FlatVectors(vectors.shape[1])
    made.put(np.arange(len(vectors), dtype=np.int64), vectors)
    return made


def visible(count: int) -> VisibleSet:
    visibility = Visibility()
    visibility.put(np.arange(count, dtype=np.int64), ["public"] * count)
    return visibility.of("public")


def test_a_removed_vector_never_comes_out_and_its_slot_can_be_used_again() -> None:
    vectors = clustered(np.random.default_rng(2), 300, 10)
    truth, lists = flat(vectors), filled(vectors)
    slots = np.array([9])
    visibility = Visibility()
    visibility.put(np.arange(300, dtype=np.int64), ["public"] * 300)

    truth.remove(slots)
    lists.remove(slots)
    visibility.remove(slots)
    seen = visibility.of("public")
    gone = [
        truth.search(vectors[9], 300, seen),
        lists.search(vectors[9], 300, seen, nprobe=1),
    ]
    truth.put(slots, vectors[9:10])
    lists.replace(vectors[9:10], slots)
    visibility.put(slots, ["public"])

    for found in gone:
        assert 9 not in found.slots
        assert len(found.slots) == 299
    again = visibility.of("public")
    assert truth.search(vectors[9], 1, again).slots.tolist() == [9]
    assert lists.search(vectors[9], 1, again, nprobe=1).slots.tolist() == [9]


def test_the_empty_index_finds_nothing() -> None:
    index = FlatVectors(DIMENSION)

    assert index.search(unit(np.random.default_rng(0), 1)[0], 5, visible(0)).slots.size == 0
    assert index.size == 0


def test_more_probes_never_find_less() -> None:
    rng = np.random.default_rng(7)
    vectors = clustered(rng, 4000, 200)
    truth, lists = flat(vectors), filled(vectors)
    seen = visible(4000)
    queries = clustered(rng, 40, 40)

    def overlap(nprobe: int) -> float:
        shared = 0
        for query in queries:
            best = set(truth.search(query, 10, seen).slots.tolist())
            shared += len(best & set(lists.search(query, 10, seen, nprobe).slots.tolist()))
        return shared / (10 * len(queries))

    assert overlap(1) < overlap(8) <= overlap(lists.nlist) == 1.0


def test_lists_too_short_for_the_pool_are_topped_up_by_further_lists() -> None:
    vectors = clustered(np.random.default_rng(8), 400, 100)

    found = filled(vectors).search(vectors[0], 100, visible(400), nprobe=1)

    assert len(found.slots) == 100


def test_training_is_deterministic() -> None:
    vectors = clustered(np.random.default_rng(9), 1000, 30)
    queries = unit(np.random.default_rng(10), 20)

    first, second = filled(vectors), filled(vectors)

    for query in queries:
        one = first.search(query, 10, visible(1000), nprobe=2)
        two = second.search(query, 10, visible(1000), nprobe=2)
        assert one.slots.tolist() == two.slots.tolist()


@pytest.mark.parametrize(
    ("passages", "nlist"), [(0, 1), (10_000, 100), (100_000, 316), (1_000_000, 1000)]
)
def test_nlist_is_about_the_square_root(passages: int, nlist: int) -> None:
    assert nlist_for(passages) == nlist


def test_written_lists_answer_the_same_after_reading(tmp_path: Path) -> None:
    vectors = clustered(np.random.default_rng(12), 700, 20)
    before = filled(vectors)
    before.write(tmp_path / "index.faiss")

    after = read_ivf(tmp_path / "index.faiss", DIMENSION, 700)

    assert (after.nlist, after.entries) == (before.nlist, before.entries)
    for query in vectors[:20]:
        one = before.search(query, 10, visible(700), nprobe=3)
        two = after.search(query, 10, visible(700), nprobe=3)
        assert one.slots.tolist() == two.slots.tolist()
    after.replace(vectors[1:2], np.array([0]))
    assert set(after.search(vectors[1], 2, visible(700), nprobe=3).slots.tolist()) == {0, 1}


@pytest.mark.parametrize("wrong", ["dimension", "count", "truncated", "not-an-index", "flat"])
def test_a_file_of_another_shape_is_refused(wrong: str, tmp_path: Path) -> None:
    vectors = clustered(np.random.default_rng(13), 300, 10)
    path = tmp_path / "index.faiss"
    filled(vectors).write(path)
    data = path.read_bytes()
    if wrong == "truncated":
        path.write_bytes(data[: len(data) // 2])
    if wrong == "not-an-index":
        path.write_bytes(b"IxXX" + data[4:])
    if wrong == "flat":
        exact = faiss.IndexFlatIP(DIMENSION)
        exact.add(vectors)
        faiss.write_index(exact, str(path))

    with pytest.raises(UnreadableIndex):
        read_ivf(path, DIMENSION + (wrong == "dimension"), 300 + (wrong == "count"))


def test_a_file_that_claims_more_than_it_holds_is_refused_by_the_limit(tmp_path: Path) -> None:
    vectors = clustered(np.random.default_rng(14), 300, 10)
    path = tmp_path / "index.faiss"
    exact = faiss.IndexFlatIP(DIMENSION)
    exact.add(vectors)
    faiss.write_index(exact, str(path))
    data = bytearray(path.read_bytes())
    # The header's length field of the codes: 300 * 16 floats, written as 64-bit count.
    at = data.rindex((300 * DIMENSION).to_bytes(8, "little"))
    data[at : at + 8] = (1 << 45).to_bytes(8, "little")
    path.write_bytes(data)

    with pytest.raises(UnreadableIndex, match="faiss refuses"):
        read_ivf(path, DIMENSION, 300)
