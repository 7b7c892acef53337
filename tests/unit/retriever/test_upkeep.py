"""When BM25, indexes and snapshots are due: a table over time, no clock."""

import itertools
import math
from dataclasses import replace

import msgspec
import pytest

from services.retriever.plan import IndexPlan
from services.retriever.upkeep import Chore, Condition, due_in, missing, next_chore
from tests.unit.retriever.corpora import PLAN

SETTLED = Condition(passages=500, changed_at=0.0)


def test_nothing_changed_means_nothing_to_do_ever() -> None:
    assert next_chore(SETTLED, PLAN, now=1e9) is None
    assert due_in(SETTLED, PLAN, now=1e9) == float("inf")
    assert missing(SETTLED, PLAN) is None


def test_words_are_indexed_whole_once_and_never_because_of_a_change() -> None:
    unindexed = replace(SETTLED, lexical_missing=True)
    changed = SETTLED.changed(501, now=100.0)

    assert next_chore(unindexed, PLAN, now=0.0) is missing(unindexed, PLAN) is Chore.LEXICAL
    assert due_in(unindexed, PLAN, now=0.0) == 0.0
    assert next_chore(changed, PLAN, now=1e6) is missing(changed, PLAN) is None


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
    state = replace(SETTLED, passages=passages, kind="ivf" if nlist else "flat", nlist=nlist)

    assert (next_chore(state, PLAN, now=1.0) is Chore.INDEX) == due
    assert (missing(state, PLAN) is Chore.INDEX) == due


def test_a_snapshot_waits_for_quiet_but_not_for_ever() -> None:
    state = replace(SETTLED, kind="ivf", nlist=22, unsaved_since=100.0, changed_at=100.0)

    assert next_chore(state, PLAN, now=104.9) is None
    assert next_chore(state, PLAN, now=105.0) is Chore.SNAPSHOT
    busy = replace(state, changed_at=159.9)
    assert next_chore(busy, PLAN, now=159.95) is None
    assert next_chore(busy, PLAN, now=160.0) is Chore.SNAPSHOT
    assert due_in(busy, PLAN, now=150.0) == pytest.approx(10.0)


def test_without_lists_there_is_nothing_to_save() -> None:
    state = replace(SETTLED, unsaved_since=100.0, changed_at=100.0)

    assert next_chore(state, PLAN, now=1e6) is None
    assert math.isinf(due_in(state, PLAN, now=1e6))


def test_a_slow_snapshot_of_a_busy_collection_is_rare() -> None:
    state = replace(
        SETTLED, kind="ivf", nlist=22, unsaved_since=100.0, changed_at=399.0, save_took_s=20.0
    )

    assert next_chore(state, PLAN, now=400.0) is None
    assert next_chore(state, PLAN, now=500.0) is Chore.SNAPSHOT


def test_a_trickle_of_changes_never_has_the_index_written_anew() -> None:
    """Rows are durable one by one; a snapshot for each would write a million vectors for one of them."""
    state = replace(SETTLED, passages=1_000_000, kind="ivf", nlist=1000).saved(now=0.0, took_s=3.0)
    written = []
    for second in range(0, 6 * 3600, 7):  # always quiet for longer than five seconds
        state = state.changed(1_000_000, float(second))
        if next_chore(state, PLAN, now=second + 6.9) is Chore.SNAPSHOT:
            written.append(second)
            state = state.saved(second + 6.9, took_s=3.0)

    assert 5 <= len(written) <= 6, "once an hour"


def test_heavy_change_has_it_written_once_a_minute_at_most() -> None:
    state = replace(SETTLED, passages=100_000, kind="ivf", nlist=316).saved(now=0.0, took_s=0.5)
    written = []
    for second in range(1, 3601):
        state = state.changed(100_000, float(second), count=200)
        if next_chore(state, PLAN, now=second + 0.5) is Chore.SNAPSHOT:
            written.append(second)
            state = state.saved(second + 0.5, took_s=0.5)

    gaps = [later - earlier for earlier, later in itertools.pairwise(written)]
    assert 50 <= len(written) <= 60
    assert min(gaps) >= 60


def test_an_index_that_no_snapshot_holds_is_saved_soon_however_little_changes() -> None:
    state = replace(SETTLED, passages=1_000_000).indexed("ivf", 1000).unsaved(now=0.0)

    assert next_chore(state, PLAN, now=60.0) is Chore.SNAPSHOT


def test_words_come_before_ivf_and_ivf_before_snapshots() -> None:
    state = replace(SETTLED.changed(20_000, now=0.0), lexical_missing=True)

    assert next_chore(state, PLAN, now=100.0) is Chore.LEXICAL
    assert next_chore(replace(state, lexical_missing=False), PLAN, now=100.0) is Chore.INDEX
    listed = replace(state, lexical_missing=False, kind="ivf", nlist=141)
    assert next_chore(listed, PLAN, now=100.0) is Chore.SNAPSHOT


def test_an_index_that_the_component_brings_is_used_at_any_size_and_never_made_anew_here() -> None:
    brought = replace(SETTLED, trained=True)
    grown = replace(brought, passages=400_000, kind="ivf", nlist=22)

    assert missing(replace(brought, passages=0), PLAN) is None
    assert missing(replace(brought, passages=1), PLAN) is Chore.INDEX
    assert missing(grown, PLAN) is None


def test_flat_stays_flat_however_large_where_the_plan_says_so() -> None:
    plan = msgspec.structs.replace(PLAN, index=IndexPlan(kind="flat"))

    assert missing(replace(SETTLED, passages=10**9), plan) is None


@pytest.mark.parametrize(("dead", "due"), [(0, False), (10_000, False), (10_001, True)])
def test_a_graph_is_made_anew_once_it_is_a_third_tombstones(dead: int, due: bool) -> None:
    plan = msgspec.structs.replace(PLAN, index=IndexPlan(kind="hnsw"))
    graph = replace(SETTLED, passages=10_000, kind="flat").indexed("hnsw", 0)

    state = graph.changed(20_000, now=1.0, dead=dead)

    assert (missing(state, plan) is Chore.INDEX) == due
    assert missing(state.indexed("hnsw", 0), plan) is None


def test_an_index_that_cannot_be_made_is_tried_again_when_there_is_twice_as_much() -> None:
    state = replace(SETTLED, passages=12_000, unfit_at=12_000)

    assert missing(state, PLAN) is None
    assert missing(replace(state, passages=24_000), PLAN) is Chore.INDEX
    assert state.indexed("ivf", 100).unfit_at == 0
