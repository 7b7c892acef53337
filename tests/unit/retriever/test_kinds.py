"""What every kind of dense index does alike: one suite for FLAT, IVF-Flat, IVF-PQ and HNSW."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from services.retriever.dense import golden, kinds
from services.retriever.dense.flat import FlatVectors, UnreadableIndex, faiss
from services.retriever.dense.index import DenseIndex, Uncodable
from services.retriever.passages.visibility import Visibility, VisibleSet
from services.retriever.plan import HnswPlan, IndexPlan, PqPlan, nlist_for
from tests.unit.retriever.corpora import DIMENSION, clustered, unit

Vectors = NDArray[np.float32]

PLANS = {
    "flat": IndexPlan(kind="flat"),
    "ivf": IndexPlan(kind="ivf", restarts=2),
    "ivf_pq": IndexPlan(kind="ivf_pq", pq=PqPlan(parts=8, bits=6, rotated=False)),
    "ivf_pq-rotated": IndexPlan(kind="ivf_pq", pq=PqPlan(parts=8, bits=6, rotated=True)),
    "hnsw": IndexPlan(kind="hnsw", hnsw=HnswPlan(neighbours=16, care=40, effort=40)),
}
every_kind = pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
approximate = pytest.mark.parametrize(
    "plan", [plan for plan in PLANS.values() if plan.kind != "flat"], ids=list(PLANS)[1:]
)
ALL_LISTS = 1000


def empty(plan: IndexPlan, sample: Vectors) -> DenseIndex:
    if plan.kind == "flat":
        return FlatVectors(sample.shape[1])
    return kinds.train(plan, sample.shape[1], sample, nlist_for(len(sample)))


def filled(plan: IndexPlan, vectors: Vectors) -> DenseIndex:
    index = empty(plan, vectors)
    index.extend(vectors, np.arange(len(vectors), dtype=np.int64))
    return index


def seeing(owners: list[str], tenant: str = "public") -> VisibleSet:
    visibility = Visibility()
    visibility.put(np.arange(len(owners), dtype=np.int64), owners)
    return visibility.of(tenant)


def everything(count: int) -> VisibleSet:
    return seeing(["public"] * count)


def without(count: int, slots: list[int]) -> VisibleSet:
    return everything(count).without(np.array(slots, dtype=np.int64))


def best(index: DenseIndex, query: Vectors, visible: VisibleSet, limit: int = 10) -> list[int]:
    slots: list[int] = index.search(query, limit, visible, ALL_LISTS).slots.tolist()
    return slots


@every_kind
def test_it_says_what_it_is_and_what_it_holds(plan: IndexPlan) -> None:
    vectors = clustered(np.random.default_rng(0), 500, 20)

    index = filled(plan, vectors)

    assert (index.kind, index.dimension, index.entries) == (plan.kind, DIMENSION, 500)
    assert index.dead == 0
    assert sum(index.lengths()) == (500 if index.nlist else 0)
    assert len(index.lengths()) == index.nlist
    assert (index.imbalance >= 1.0) == (index.nlist > 0)


@every_kind
def test_cosines_fall_and_are_those_of_the_vectors_within_what_is_promised(plan: IndexPlan) -> None:
    vectors = clustered(np.random.default_rng(1), 700, 20)
    index = filled(plan, vectors)

    for query in clustered(np.random.default_rng(2), 20, 20):
        found = index.search(query, 10, everything(700), ALL_LISTS)

        assert len(found.slots) == len(set(found.slots.tolist())) == 10
        assert np.all(np.diff(found.cosines) <= 0)
        assert found.cosines == pytest.approx(vectors[found.slots] @ query, abs=index.cosine_error)


@every_kind
def test_a_greater_effort_never_finds_less_and_the_greatest_nearly_all(plan: IndexPlan) -> None:
    vectors = clustered(np.random.default_rng(3), 3000, 150)
    index, truth = filled(plan, vectors), FlatVectors(DIMENSION)
    truth.put(np.arange(3000, dtype=np.int64), vectors)
    queries, seen = clustered(np.random.default_rng(4), 40, 40), everything(3000)

    def overlap(nprobe: int) -> float:
        # Ten times as many of a kind that estimates: what is scored again must be among them.
        wanted = 10 if index.cosine_error < 0.01 else 100
        shared = 0
        for query in queries:
            wished = set(truth.search(query, 10, seen).slots.tolist())
            shared += len(wished & set(index.search(query, wanted, seen, nprobe).slots.tolist()))
        return shared / (10 * len(queries))

    assert overlap(1) <= overlap(8) <= overlap(ALL_LISTS)
    assert overlap(ALL_LISTS) > 0.97


@every_kind
def test_a_filter_lets_nothing_else_out_and_gives_all_that_is_wanted(plan: IndexPlan) -> None:
    rng = np.random.default_rng(5)
    vectors = clustered(rng, 1500, 30)
    owners = ["acme" if number % 75 == 0 else "globex" for number in range(1500)]
    index, seen = filled(plan, vectors), seeing(owners, "acme")

    for query in unit(rng, 15):
        found = index.search(query, 12, seen, nprobe=1)

        assert len(found.slots) == 12
        assert all(owners[slot] == "acme" for slot in found.slots)
    assert len(index.search(vectors[0], 100, seen, nprobe=1).slots) == 20
    assert index.search(vectors[0], 5, seeing(owners, "nobody"), 1).slots.size == 0


@every_kind
def test_a_removed_vector_never_comes_out_and_its_slot_can_be_used_again(plan: IndexPlan) -> None:
    rng = np.random.default_rng(6)
    vectors = clustered(rng, 400, 10)
    index = filled(plan, vectors)

    index.remove(np.array([9, 11, 399, 5000]))

    seen = without(400, [9, 11, 399])
    assert index.entries == 397
    assert 9 not in best(index, vectors[9], seen, 397)
    assert len(best(index, vectors[9], seen, 400)) == 397
    index.replace(vectors[9:10], np.array([9]))
    assert index.entries == 398
    assert 9 in best(index, vectors[9], without(400, [11, 399]))


@every_kind
def test_a_replaced_vector_is_found_where_it_is_now_and_comes_out_once(plan: IndexPlan) -> None:
    rng = np.random.default_rng(7)
    vectors = clustered(rng, 400, 10)
    index, new = filled(plan, vectors), unit(rng, 3)

    index.replace(new, np.array([5, 6, 400]))

    seen = everything(401)
    assert index.entries == 401
    for slot, vector in zip((5, 6, 400), new, strict=True):
        assert slot in best(index, vector, seen, 3)
    whole = best(index, vectors[5], seen, 401)
    assert sorted(whole) == list(range(401))


@every_kind
def test_vectors_are_found_in_an_index_that_was_trained_on_others(plan: IndexPlan) -> None:
    rng = np.random.default_rng(8)
    index, vectors = empty(plan, clustered(rng, 600, 20)), clustered(rng, 300, 20)

    assert index.entries == 0
    assert index.search(vectors[0], 5, everything(0), 8).slots.size == 0
    index.extend(vectors, np.arange(300, dtype=np.int64))

    wanted = 1 if index.cosine_error < 0.01 else 20
    found = [
        slot in best(index, vectors[slot], everything(300), wanted) for slot in range(0, 300, 10)
    ]
    assert np.mean(found) > 0.9


@approximate
def test_what_was_written_answers_the_same_after_reading_and_goes_on(
    plan: IndexPlan, tmp_path: Path
) -> None:
    rng = np.random.default_rng(9)
    vectors = clustered(rng, 700, 20)
    before = filled(plan, vectors)
    before.remove(np.array([3, 4]))
    before.replace(vectors[10:11], np.array([5]))
    before.write(tmp_path / "index")

    after = kinds.read(plan, tmp_path / "index", DIMENSION, 698)

    seen = without(700, [3, 4])
    assert (after.nlist, after.entries, after.dead) == (before.nlist, 698, before.dead)
    for query in vectors[:30]:
        one, two = before.search(query, 10, seen, 3), after.search(query, 10, seen, 3)
        assert one.slots.tolist() == two.slots.tolist()
    after.replace(vectors[3:4], np.array([3]))
    after.remove(np.array([5]))
    assert after.entries == 698
    seen = without(700, [4, 5])
    assert sorted(best(after, vectors[3], seen, 700)) == sorted({*range(700)} - {4, 5})


@approximate
def test_an_empty_trained_index_is_written_and_filled_by_every_worker_alike(
    plan: IndexPlan, tmp_path: Path
) -> None:
    vectors = clustered(np.random.default_rng(10), 900, 30)
    empty(plan, vectors).write(tmp_path / "trained")
    workers = [kinds.read(plan, tmp_path / "trained", DIMENSION, 0) for _ in range(2)]

    for worker in workers:
        worker.extend(vectors, np.arange(900, dtype=np.int64))

    one, two = workers
    assert one.lengths() == two.lengths()
    for query in vectors[:20]:
        first = one.search(query, 10, everything(900), 2)
        second = two.search(query, 10, everything(900), 2)
        assert first.slots.tolist() == second.slots.tolist()


@approximate
@pytest.mark.parametrize("wrong", ["dimension", "count", "truncated", "another-kind"])
def test_a_file_of_another_shape_is_refused(plan: IndexPlan, wrong: str, tmp_path: Path) -> None:
    vectors = clustered(np.random.default_rng(11), 300, 10)
    path = tmp_path / "index"
    filled(plan, vectors).write(path)
    if wrong == "truncated":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    if wrong == "another-kind":
        exact = faiss.IndexFlatIP(DIMENSION)
        exact.add(vectors)
        faiss.write_index(exact, str(path))

    with pytest.raises(UnreadableIndex):
        kinds.read(plan, path, DIMENSION + (wrong == "dimension"), 300 + (wrong == "count"))


@approximate
def test_golden_queries_pass_on_what_they_were_asked_of_and_fail_on_another(
    plan: IndexPlan,
) -> None:
    vectors = clustered(np.random.default_rng(12), 600, 20)
    index, other = filled(plan, vectors), filled(plan, np.roll(vectors, 7, axis=0))
    slots = golden.spread(np.arange(600, dtype=np.int64))

    questions = golden.record(index, vectors[slots], nprobe=4)

    assert golden.passes(index, questions)
    assert not golden.passes(other, questions)
    assert golden.finds_itself(index, vectors[slots], nprobe=4)
    assert not golden.finds_itself(empty(plan, vectors), vectors[slots], nprobe=4)


def test_more_restarts_of_k_means_change_the_lists_and_the_same_number_does_not() -> None:
    vectors = unit(np.random.default_rng(13), 1500)
    once, again = filled(PLANS["ivf"], vectors), filled(PLANS["ivf"], vectors)
    more = filled(msgspec.structs.replace(PLANS["ivf"], restarts=6), vectors)

    assert once.lengths() == again.lengths()
    assert once.lengths() != more.lengths()


def test_a_graph_counts_its_dead_and_steps_over_them() -> None:
    vectors = clustered(np.random.default_rng(14), 500, 10)
    graph = filled(PLANS["hnsw"], vectors)

    for _ in range(3):
        graph.replace(vectors[:100], np.arange(100, dtype=np.int64))

    assert (graph.entries, graph.dead) == (500, 300)
    assert sorted(best(graph, vectors[7], everything(500), 500)) == list(range(500))


@pytest.mark.parametrize(
    ("pq", "vectors", "problem"),
    [
        (PqPlan(parts=5), 600, "16 dimensions cannot be cut into 5"),
        (PqPlan(parts=4, bits=8), 200, "200 vectors are too few for codebooks of 256"),
    ],
)
def test_codes_that_do_not_fit_the_vectors_say_so(pq: PqPlan, vectors: int, problem: str) -> None:
    plan = IndexPlan(kind="ivf_pq", pq=pq)

    with pytest.raises(Uncodable, match=problem):
        empty(plan, unit(np.random.default_rng(15), vectors))
