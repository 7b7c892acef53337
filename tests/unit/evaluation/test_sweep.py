"""Runbook 5's rule: the smallest nprobe with dR@10 >= -0.5 pp and P95 within the target."""

import pytest

from trimtab.evaluation.latency import LatencyMs
from trimtab.evaluation.overlap import Overlap
from trimtab.evaluation.sweep import Point, choose


def point(nprobe: int, p95: float, delta: float) -> Point:
    return Point(
        nprobe, LatencyMs(500, p95 / 2, p95 / 3, p95, 2 * p95), Overlap(10, 500, 1, 1, 1, 1), delta
    )


RUNBOOK = [point(4, 3.2, -1.2), point(8, 4.8, -0.3), point(12, 7.1, -0.1), point(16, 10.5, 0.0)]
"""The figures the runbook prints."""


def test_the_runbooks_own_figures_give_the_runbooks_own_choice() -> None:
    choice = choose(RUNBOOK, 8.0)

    assert choice.nprobe == 8
    assert choice.why == "nprobe=8 (P95=4.80 ms, dR@10=-0.30 pp)"


@pytest.mark.parametrize(
    ("target", "least", "nprobe"),
    [
        pytest.param(8.0, -1.2, 4, id="the bounds themselves are kept"),
        pytest.param(4.8, -0.5, 8, id="a P95 at the target is within it"),
        pytest.param(8.0, -0.2, 12, id="a stricter bound visits more lists"),
        pytest.param(20.0, 0.0, 16, id="no loss at all"),
    ],
)
def test_the_smallest_that_keeps_both_bounds_is_chosen(
    target: float, least: float, nprobe: int
) -> None:
    assert choose(list(reversed(RUNBOOK)), target, least).nprobe == nprobe


def test_what_is_good_but_slow_is_not_chosen_and_the_reason_says_slow() -> None:
    choice = choose(RUNBOOK, 4.0)

    assert choice.nprobe is None
    assert "later than 4 ms" in choice.why


def test_what_is_fast_but_loses_too_much_is_not_chosen_and_the_reason_says_so() -> None:
    choice = choose(RUNBOOK[:1], 8.0)

    assert choice.nprobe is None
    assert "none of them keeps dR@10 >= -0.5 pp" in choice.why


def test_percentiles_are_measured_values() -> None:
    latency = LatencyMs.of([float(number) for number in range(1, 101)])

    assert (latency.p50, latency.p95, latency.p99, latency.mean) == (50.0, 95.0, 99.0, 50.5)
    with pytest.raises(ValueError, match="no request"):
        LatencyMs.of([])
