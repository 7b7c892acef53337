"""Every way to search stands beside what it must beat, and what is printed is what was found."""

import msgspec
import numpy as np
import pytest

from benchmarks.quality_table import SHOWN, Measured, table
from benchmarks.rerank_ablation import GROUPS, columns, judge, source, trained
from benchmarks.rerank_data import Query
from benchmarks.rerank_pools import Pool
from benchmarks.rerank_train import COMPONENTS, DEFAULT, calibration, cases_of, examples_of
from benchmarks.retrieval_quality import DENSE, HYBRID, compare, figures, rows
from services.reranker.candidates import from_signals
from services.reranker.component import SHIPPED, load_component
from services.reranker.features import FEATURE_SETS, names
from services.reranker.train import train
from tests.unit.reranker.pools import QUICK, drawn, row

COUNT = 12
QUERIES = 60


def pool(number: int, *, asked: bool = True) -> Pool:
    """A query whose right answer is first by words, third by vectors and second in the fused order."""
    ids = [f"p{place}" for place in range(COUNT)]
    signals = drawn(number, COUNT, with_session=asked)
    best = signals.bm25.array()[0].copy()
    best[1] = best.max() * 1.5
    return Pool(
        query=Query("?", "p1", f"c{number // 2}"),
        signals=msgspec.structs.replace(signals, bm25=row(best)),
        ids=ids,
        nearest=["p5", "p4", "p1"],
        lexical=["p1", "p0"],
        foreign=row(np.linspace(0.0, 0.5, COUNT)),
    )


POOLS = [pool(number, asked=number % 3 > 0) for number in range(QUERIES)]
WAYS = rows([load_component(SHIPPED / reference) for reference in COMPONENTS])


@pytest.fixture(scope="module")
def measured() -> Measured:
    return compare("attack, made up", POOLS, WAYS)


def test_every_way_but_the_first_has_a_baseline_that_was_measured_before_it() -> None:
    order = [way.name for way in WAYS]

    assert (order[0], WAYS[0].baseline) == (DENSE, "")
    for place, way in enumerate(WAYS[1:], start=1):
        assert way.baseline in order[:place], way.name


def test_every_component_is_measured_and_the_one_with_sessions_beside_the_default() -> None:
    for reference in COMPONENTS:
        assert any(way.name.startswith(f"+ {reference}") for way in WAYS)
    sessions = [way for way in WAYS if "session" in way.name]
    assert len(sessions) == 3
    assert {way.baseline for way in sessions} == {f"+ {DEFAULT}"}


def test_figures_are_those_of_the_orders(measured: Measured) -> None:
    assert measured.values[DENSE]["R@1"].mean() == 0.0
    assert measured.values[DENSE]["MRR@10"].mean() == pytest.approx(1 / 3)
    assert measured.values["BM25"]["R@1"].mean() == 1.0
    assert measured.values[HYBRID]["MRR@10"].mean() == 0.5


def test_without_a_session_the_component_that_knows_them_differs_nowhere_from_the_default(
    measured: Measured,
) -> None:
    difference = measured.over("+ mlp-session@1, no session", f"+ {DEFAULT}")

    assert (difference.mean, difference.low, difference.high) == (0.0, 0.0, 0.0)


def test_the_default_search_has_an_aim_over_dense_alone_on_the_collections_that_have_one(
    measured: Measured,
) -> None:
    aimed = [figure for figure in figures(measured) if figure.aim is not None]

    assert [figure.name for figure in aimed] == [f"attack: {DEFAULT} R@5 over dense"]
    elsewhere = compare("stdlib, made up", POOLS, WAYS)
    assert all(figure.aim is None for figure in figures(elsewhere))


def test_every_metric_of_every_way_and_every_difference_has_its_interval(
    measured: Measured,
) -> None:
    _, levels, differences = (part.splitlines() for part in table(measured).split("\n\n"))

    assert [line.split(" | ")[0] for line in levels[2:]] == [f"| {way.name}" for way in WAYS]
    assert {tuple(line.split(" | ")[:2]) for line in differences[2:]} == {
        (f"| {name}", baseline) for name, baseline in measured.pairs
    }
    for line in (*levels[2:], *differences[2:]):
        assert line.count("[") == line.count("]") == len(SHOWN), line
    assert {name for name, _ in measured.pairs} == {way.name for way in WAYS} - {DENSE}


def test_a_difference_is_that_of_the_metric_asked_for(measured: Measured) -> None:
    found = measured.over(HYBRID, DENSE, "MRR@10")

    assert (found.mean, found.low, found.high) == pytest.approx((1 / 6, 1 / 6, 1 / 6))


def test_training_meets_every_case_that_a_feature_set_looks_at() -> None:
    known, unknown = pool(1), pool(1, asked=False)

    def cases(found: Pool, feature_set: str, *, astray: bool) -> list[tuple[bool, bool]]:
        return [
            (each.maxsim is not None, each.session is not None)
            for each in cases_of(found, feature_set, astray=astray)  # type: ignore[arg-type]
        ]

    assert cases(known, "runbook4", astray=True) == [(True, False)]
    assert cases(known, "full", astray=True) == [(True, False), (False, False)]
    assert cases(unknown, "session", astray=False) == [(True, False), (False, False)]
    assert cases(known, "session", astray=True) == [
        (True, False),
        (False, False),
        (True, True),
        (False, True),
        (True, True),
    ]


def test_calibration_is_measured_of_all_and_of_the_first_before_and_after() -> None:
    made = train(examples_of(POOLS, "full"), QUICK)

    found = calibration(made, POOLS, "full")

    assert found["held_out"] == QUERIES
    errors = {name for name in found if name.startswith("ece_")}
    assert errors == {
        f"ece_{what}_{when}" for what in ("all", "first") for when in ("before", "after")
    }
    assert all(0.0 <= float(found[name]) <= 1.0 for name in errors)


def test_the_groups_of_the_ablation_are_made_of_declared_features_and_end_with_all() -> None:
    everything = list(GROUPS.values())

    assert everything[0] == names("runbook4")
    assert set(everything[-1]) == set(names("session"))
    for group in everything:
        assert len(set(group)) == len(group) == len(columns(source(group), group))
        assert set(group) <= set(names(source(group)))
    assert set(FEATURE_SETS) == {"runbook4", "full", "session"}


def test_a_group_is_judged_by_its_own_columns_alone() -> None:
    group = ("bm25_level", "cosine")
    network = trained(examples_of(POOLS, "full"), "full", group)

    found = judge(network, POOLS, group)

    assert len(found.ranks) == QUERIES
    assert network.w1.shape[0] == 2
    # The words know the answer, so a network of the words does too.
    assert float((found.ranks == 1).mean()) > 0.9
    assert from_signals(POOLS[0].signals).count == COUNT
