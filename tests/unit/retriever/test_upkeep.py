"""When BM25, IVF and snapshots are due: a table over time, no clock."""

import math
from dataclasses import replace

import pytest

from services.retriever.upkeep import Chore, Condition, due_in, missing, next_chore
from tests.unit.retriever.corpora import PLAN

DENSE = PLAN.dense
SETTLED = Condition(passages=500, changed_at=0.0)


def test_nothing_changed_means_nothing_to_do_ever() -> None:
    assert next_chore(SETTLED, DENSE, now=1e9) is None
    assert due_in(SETTLED, DENSE, now=1e9) == float("inf")
    assert missing(SETTLED, DENSE) is None


def test_words_are_indexed_whole_once_and_never_because_of_a_change() -> None:
    unindexed = replace(SETTLED, lexical_missing=True)
    changed = SETTLED.changed(501, now=100.0)

    assert next_chore(unindexed, DENSE, now=0.0) is missing(unindexed, DENSE) is Chore.LEXICAL
    assert due_in(unindexed, DENSE, now=0.0) == 0.0
    assert next_chore(changed, DENSE, now=1e6) is missing(changed, DENSE) is None


@pytest.mark.parametrize(
    ("passages", "nlist", "due"),
    [
        pytest.param(9_999, 0, False, id="below-the-threshold-flat-is-right"),
        pytest.param(10_000, 0, True, id="at-the-threshold"),
        pytest.param(10_000, 100, False, id="trained"),
        pytest.param(39_000, 100, False, id="grown-not-enough"),
        pytest.param(40_000, 100, True, id="twice-the-lists"),
    ],
)
def test_ivf_is_built_when_the_collection_outgrows_its_index(
    passages: int, nlist: int, due: bool
) -> None:
    state = replace(SETTLED, passages=passages, nlist=nlist)

    assert (next_chore(state, DENSE, now=1.0) is Chore.IVF) == due
    assert (missing(state, DENSE) is Chore.IVF) == due


def test_a_snapshot_waits_for_quiet_but_not_for_ever() -> None:
    state = replace(SETTLED, nlist=22, unsaved_since=100.0, changed_at=100.0)

    assert next_chore(state, DENSE, now=104.9) is None
    assert next_chore(state, DENSE, now=105.0) is Chore.SNAPSHOT
    busy = replace(state, changed_at=159.9)
    assert next_chore(busy, DENSE, now=159.95) is None
    assert next_chore(busy, DENSE, now=160.0) is Chore.SNAPSHOT
    assert due_in(busy, DENSE, now=150.0) == pytest.approx(10.0)


def test_without_lists_there_is_nothing_to_save() -> None:
    state = replace(SETTLED, unsaved_since=100.0, changed_at=100.0)

    assert next_chore(state, DENSE, now=1e6) is None
    assert math.isinf(due_in(state, DENSE, now=1e6))


def test_a_slow_snapshot_of_a_busy_collection_is_rare() -> None:
    state = replace(SETTLED, nlist=22, unsaved_since=100.0, changed_at=399.0, save_took_s=20.0)

    assert next_chore(state, DENSE, now=400.0) is None
    assert next_chore(state, DENSE, now=500.0) is Chore.SNAPSHOT


def test_words_come_before_ivf_and_ivf_before_snapshots() -> None:
    state = replace(SETTLED.changed(20_000, now=0.0), lexical_missing=True)

    assert next_chore(state, DENSE, now=100.0) is Chore.LEXICAL
    assert next_chore(replace(state, lexical_missing=False), DENSE, now=100.0) is Chore.IVF
    listed = replace(state, lexical_missing=False, nlist=141)
    assert next_chore(listed, DENSE, now=100.0) is Chore.SNAPSHOT
