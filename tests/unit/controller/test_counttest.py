"""The count test may be looked at after every interval, and still raises few false alarms."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.controller.counttest import (
    NOTHING,
    Counts,
    CountTest,
    ratio_mismatch,
    upper_rate,
)

ALPHA = 0.05


def run(
    draw: random.Random, seconds: int, per_second: int, canary_rate: float, control_rate: float
) -> int | None:
    """Return the second at which the test rejects, looking every second; None when it never does."""
    test = CountTest(1.0)
    for second in range(1, seconds + 1):
        canary = sum(draw.random() < canary_rate for _ in range(per_second))
        control = sum(draw.random() < control_rate for _ in range(per_second))
        test = test.after(Counts(per_second, canary, per_second, control))
        if test.rejects(ALPHA):
            return second
    return None


def test_healthy_canaries_are_rarely_aborted_although_it_looks_every_second() -> None:
    draw = random.Random(20261120)
    runs = 300

    aborted = sum(run(draw, 300, 5, 0.01, 0.01) is not None for _ in range(runs))

    # alpha bounds the probability ever to reject; 3 sigma of the binomial above it
    assert aborted / runs <= ALPHA + 3 * (ALPHA * (1 - ALPHA) / runs) ** 0.5


def test_a_canary_that_fails_a_fifth_of_its_requests_is_seen_within_seconds() -> None:
    draw = random.Random(7)

    found = sorted(run(draw, 600, 1, 0.2, 0.005) or 600 for _ in range(50))

    assert found[25] < 30


def test_without_bad_events_or_without_requests_nothing_is_learnt() -> None:
    test = CountTest(1.2)

    assert test.after(Counts(100, 0, 100, 0)).evidence == pytest.approx(1.0)
    assert test.after(Counts(100, 5, 0, 0)).evidence == pytest.approx(1.0)
    assert test.after(NOTHING).evidence == pytest.approx(1.0)


def test_a_better_canary_is_never_rejected() -> None:
    test = CountTest(1.0)

    for _ in range(500):
        test = test.after(Counts(100, 1, 100, 5))

    assert not test.rejects(0.5)


@given(
    st.lists(
        st.tuples(st.integers(1, 50), st.integers(1, 50), st.integers(0, 5), st.integers(0, 5)),
        max_size=20,
    )
)
def test_the_order_of_the_intervals_does_not_matter(rows: list[tuple[int, int, int, int]]) -> None:
    intervals = [Counts(n, min(a, n), m, min(b, m)) for n, m, a, b in rows]
    forward = backward = CountTest(1.2)

    for interval in intervals:
        forward = forward.after(interval)
    for interval in reversed(intervals):
        backward = backward.after(interval)

    assert forward.log_evidence == pytest.approx(backward.log_evidence)


def test_the_upper_bound_of_a_rate_covers_it_and_shrinks_with_data() -> None:
    assert upper_rate(0, 0) == 1.0
    assert 0.0 < upper_rate(0, 1000) < upper_rate(0, 100) < 0.05
    assert upper_rate(50, 1000) > 0.05


def test_a_sample_ratio_that_is_not_the_weight_stands_out() -> None:
    assert ratio_mismatch(5000, 5000, 0.5) == 0.0
    assert ratio_mismatch(5400, 4600, 0.5) > 4.0
