"""What the controller is told of an evaluation, and when it is told nothing."""

from typing import Any

import pytest

from trimtab.cli.evaluate.publish import evaluation_of
from trimtab.cli.failure import Failure
from trimtab.contracts.evaluation import RetrievedFigures


def record(
    recall: float,
    releases: dict[str, int] | None = None,
    error_rate: float = 0.0,
    degraded: dict[str, int] | None = None,
) -> dict[str, Any]:
    return {
        "at": 5.0,
        "error_rate": error_rate,
        "degraded": degraded or {},
        "collection": "docs",
        "queries": 200,
        "releases": {"base": 200} if releases is None else releases,
        "metrics": {
            "R@5": {"mean": recall},
            "MRR@10": {"mean": recall / 2},
            "Contain@50": {"mean": 0.9},
        },
    }


def test_a_run_stands_beside_the_median_of_the_last_seven() -> None:
    earlier = [record(recall) for recall in (0.1, 0.5, 0.52, 0.51, 0.9, 0.53, 0.54, 0.55)]

    told = evaluation_of(record(0.4), earlier)

    assert (told.release, told.queries, told.recall_at_5, told.before) == ("base", 200, 0.4, 0.53)
    assert (told.contain_at_50, told.mrr_at_10, told.retrieved) == (0.9, 0.2, None)


def test_a_run_names_what_the_retriever_alone_found_within_the_day_before() -> None:
    night = 10 * 24 * 3600.0
    alone = [
        {**record(0.3), "at": night - 60.0},
        {**record(0.2, {"next": 200}), "at": night - 30.0},
        {**record(0.1, error_rate=0.5), "at": night - 20.0},
    ]
    run = {**record(0.4), "at": night}

    told = evaluation_of(run, [record(0.5)], alone)
    late = evaluation_of({**run, "at": night + 24 * 3600}, [record(0.5)], alone)

    assert told.retrieved == RetrievedFigures(recall_at_5=0.3, mrr_at_10=0.15, contain_at_50=0.9)
    assert late.retrieved is None


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(record(0.2, error_rate=0.5), id="timeouts"),
        pytest.param(record(0.2, degraded={"reranker: off": 200}), id="without-its-reranker"),
    ],
)
def test_bad_nights_do_not_lower_what_a_run_is_compared_with(bad: dict[str, Any]) -> None:
    good = [record(recall) for recall in (0.58, 0.6, 0.62)]

    told = evaluation_of(record(0.55), [*good, *[bad] * 7])

    assert told.before == 0.6
    with pytest.raises(Failure, match="without errors"):
        evaluation_of(record(0.55), [bad])


def test_an_outage_is_not_told_as_a_loss_of_quality() -> None:
    with pytest.raises(Failure, match="50 % of the queries got an error"):
        evaluation_of(record(0.2, error_rate=0.5), [record(0.5)])


def test_a_run_that_several_releases_answered_is_not_told() -> None:
    mixed = record(0.4, {"base": 190, "next": 10})

    with pytest.raises(Failure, match="2 releases answered"):
        evaluation_of(mixed, [record(0.5)])


def test_a_first_run_has_nothing_to_stand_beside() -> None:
    with pytest.raises(Failure, match="no earlier run"):
        evaluation_of(record(0.4), [])
