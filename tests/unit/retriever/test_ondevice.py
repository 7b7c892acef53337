"""IVF lists with a clone behave as the lists do, whatever changed since the clone was made.

The clone of these tests is a CPU clone; tests/gpu runs the same rules on a device.
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.retriever.dense import golden, kinds
from services.retriever.dense.flat import FlatVectors, faiss
from services.retriever.dense.index import DenseIndex, Nearest, Slots, Vectors
from services.retriever.dense.ivf import IvfLists, train_ivf
from services.retriever.dense.ondevice import STALE_AT, Clone, OnDevice, on_host
from tests.unit.retriever import test_kinds as suite
from tests.unit.retriever.corpora import DIMENSION, clustered, unit

RULES = {
    name: rule
    for name, rule in vars(suite).items()
    if name.startswith("test_") and set(inspect.signature(rule).parameters) <= {"plan", "tmp_path"}
}
"""What every kind of index must do, as its suite says it."""

WRITTEN = suite.test_what_was_written_answers_the_same_after_reading_and_goes_on


def never(_where: str) -> None:
    raise AssertionError("nothing failed")


def on_cpu(lists: Any) -> Clone:
    return Clone(faiss.clone_index(lists))


def cloned(lists: DenseIndex) -> OnDevice:
    assert isinstance(lists, IvfLists)
    made = OnDevice(lists, on_cpu, never)
    clone = made.clone()
    assert clone is not None
    made.adopt(clone)
    return made


class AlwaysYoung(OnDevice):
    """Has a new clone after each change."""

    def extend(self, vectors: Vectors, slots: Slots) -> None:
        super().extend(vectors, slots)
        self._again()

    def replace(self, vectors: Vectors, slots: Slots) -> None:
        super().replace(vectors, slots)
        self._again()

    def remove(self, slots: Slots) -> None:
        super().remove(slots)
        self._again()

    def _again(self) -> None:
        clone = self.clone()
        assert clone is not None
        self.adopt(clone)


@pytest.fixture(params=["as it was filled", "as it was trained", "always young"])
def placed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the suite make its IVF lists with a clone of this age."""
    empty = suite.empty

    def with_clone(plan: Any, sample: Vectors) -> Any:
        lists = empty(plan, sample)
        if plan.kind != "ivf":
            return lists
        if request.param == "as it was trained":
            return cloned(lists)
        assert isinstance(lists, IvfLists)
        return AlwaysYoung(lists, on_cpu, never)

    def filled(plan: Any, vectors: Vectors) -> Any:
        index = empty(plan, vectors)
        index.extend(vectors, np.arange(len(vectors), dtype=np.int64))
        return cloned(index) if plan.kind == "ivf" else index

    if request.param == "as it was filled":
        monkeypatch.setattr(suite, "filled", filled)
    else:
        monkeypatch.setattr(suite, "empty", with_clone)


@pytest.mark.usefixtures("placed")
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_it_keeps_the_rules_of_every_kind(
    rule: Callable[..., None], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if rule is WRITTEN and "as it was trained" in request.node.name:
        return  # all of it lies over the clone and is compared whole, which a few lists cannot equal
    given_to: dict[str, object] = {"plan": suite.PLANS["ivf"], "tmp_path": tmp_path}
    wanted = inspect.signature(rule).parameters

    rule(**{name: value for name, value in given_to.items() if name in wanted})


def test_the_suite_has_rules() -> None:
    assert len(RULES) >= 8


def lists_of(vectors: Vectors, nlist: int = 20) -> IvfLists:
    lists = train_ivf(vectors, nlist)
    lists.extend(vectors, np.arange(len(vectors), dtype=np.int64))
    return lists


def agree(found: Nearest, wished: Nearest, everything: Nearest) -> None:
    """Assert the same cosines in the same places; which of two equal ones comes first is free."""
    cosine_of = dict(zip(everything.slots.tolist(), everything.cosines.tolist(), strict=True))
    assert found.cosines == pytest.approx(wished.cosines, abs=1e-5)
    assert found.cosines.tolist() == pytest.approx(
        [cosine_of[slot] for slot in found.slots.tolist()], abs=1e-5
    )
    assert len(set(found.slots.tolist())) == len(wished.slots)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1_000),
    replaced=st.sets(st.integers(0, 320), max_size=60),
    removed=st.sets(st.integers(0, 299), max_size=60),
)
def test_with_every_list_visited_it_finds_what_flat_finds(
    seed: int, replaced: set[int], removed: set[int]
) -> None:
    rng = np.random.default_rng(seed)
    vectors = clustered(rng, 300, 12)
    index, truth = cloned(lists_of(vectors)), FlatVectors(DIMENSION)
    truth.put(np.arange(300, dtype=np.int64), vectors)
    new, gone = np.array(sorted(replaced), np.int64), np.array(sorted(removed), np.int64)
    rows = unit(rng, len(new))
    for each in (index, truth):
        each.replace(rows, new)
        each.remove(gone)
    present = sorted({*range(300), *replaced} - removed)
    count = 321
    seen = suite.without(count, [slot for slot in range(count) if slot not in present])

    for query in unit(rng, 5):
        found = index.search(query, 10, seen, 20)
        wished = truth.search(query, 10, seen)

        assert index.changed == len(replaced | removed)
        agree(found, wished, truth.search(query, count, seen))


def test_many_changes_make_a_new_clone_due_and_few_do_not() -> None:
    rng = np.random.default_rng(1)
    index = cloned(lists_of(clustered(rng, 2_000, 20)))
    few = np.arange(STALE_AT - 1, dtype=np.int64)

    index.replace(unit(rng, len(few)), few)
    before = index.stale
    index.remove(np.array([STALE_AT]))
    after = index.stale
    clone = index.clone()
    assert clone is not None
    index.adopt(clone)

    assert (before, after) == (False, True)
    assert (index.stale, index.changed) == (False, 0)


def test_the_lists_visited_are_those_of_each_search() -> None:
    vectors = clustered(np.random.default_rng(2), 2_000, 40)
    lists = lists_of(vectors, 40)
    index = cloned(lists)
    seen = suite.everything(2_000)

    for nprobe in (1, 3, 40):
        for query in vectors[:20]:
            found, wished = (each.search(query, 5, seen, nprobe) for each in (index, lists))

            assert found.slots.tolist() == wished.slots.tolist()
            assert found.visited == wished.visited


def test_more_than_a_device_takes_is_answered_by_the_lists() -> None:
    vectors = clustered(np.random.default_rng(3), 3_000, 20)
    index = cloned(lists_of(vectors))

    found = index.search(vectors[0], 2_500, suite.everything(3_000), 20)

    assert len(found.slots) == 2_500


def test_a_clone_that_cannot_be_made_is_said_once_and_the_lists_answer() -> None:
    vectors = clustered(np.random.default_rng(4), 300, 10)
    said: list[str] = []

    def full(_lists: Any) -> Clone:
        raise RuntimeError("out of memory")

    index = OnDevice(lists_of(vectors), full, said.append)

    assert index.clone() is None
    assert (index.stale, index.cloned, said) == (False, False, ["clone"])
    assert index.search(vectors[7], 1, suite.everything(300), 20).slots.tolist() == [7]


def test_a_device_that_fails_in_a_search_is_said_once_and_the_lists_answer_from_then_on() -> None:
    vectors = clustered(np.random.default_rng(5), 300, 10)
    said: list[str] = []
    index = OnDevice(lists_of(vectors), on_cpu, said.append)

    class Broken:
        def search(self, *_args: object, **_kwargs: object) -> None:
            raise RuntimeError("the device fell off the bus")

    index.adopt(Clone(Broken()))
    found = [index.search(vectors[7], 1, suite.everything(300), 20).slots for _ in range(3)]

    assert [slots.tolist() for slots in found] == [[7]] * 3
    assert (said, index.stale, index.cloned) == (["search"], False, False)


def test_what_is_saved_and_asked_the_golden_queries_is_the_lists(tmp_path: Path) -> None:
    vectors = clustered(np.random.default_rng(6), 600, 20)
    lists = lists_of(vectors)
    index = cloned(lists)
    index.replace(vectors[:1], np.array([5]))

    assert on_host(index) is lists
    assert on_host(lists) is lists
    questions = golden.record(on_host(index), vectors[golden.spread(np.arange(600))], nprobe=1)
    index.write(tmp_path / "index")
    again = kinds.read(suite.PLANS["ivf"], tmp_path / "index", DIMENSION, 600)
    assert golden.passes(again, questions)
