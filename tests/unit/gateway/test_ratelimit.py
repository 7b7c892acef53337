"""A minute's worth at once, then so many a second; a batch costs what is in it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.http.ratelimit import Buckets


def test_a_minutes_worth_passes_at_once_and_the_next_one_waits() -> None:
    buckets = Buckets()
    passed = [buckets.take("a", 60, 1, 0.0) for _ in range(60)]
    refused = buckets.take("a", 60, 1, 0.0)

    assert [each.wait_s for each in passed] == [0.0] * 60
    assert [passed[0].remaining, passed[-1].remaining] == [59, 0]
    assert refused.wait_s == pytest.approx(1.0)
    assert buckets.take("a", 60, 1, 1.0).wait_s == 0.0


def test_one_callers_minute_is_not_anothers() -> None:
    buckets = Buckets()
    buckets.take("a", 1, 1, 0.0)

    assert buckets.take("a", 1, 1, 0.0).wait_s > 0
    assert buckets.take("b", 1, 1, 0.0).wait_s == 0.0


def test_what_costs_more_than_a_minute_passes_from_a_full_bucket_and_leaves_a_debt() -> None:
    buckets = Buckets()

    assert buckets.take("a", 60, 100, 0.0).wait_s == 0.0
    assert buckets.take("a", 60, 1, 0.0).wait_s == pytest.approx(41.0)


def test_what_is_left_stands_in_the_headers() -> None:
    allowance = Buckets().take("a", 600, 60, 0.0)

    assert allowance.headers == {
        "RateLimit-Limit": "600;w=60",
        "RateLimit-Remaining": "540",
        "RateLimit-Reset": "6",
    }


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 20)), max_size=80), st.integers(1, 120))
def test_no_caller_gets_more_than_one_bucket_and_its_rate(
    asked: list[tuple[float, int]], per_minute: int
) -> None:
    buckets, now, got = Buckets(), 0.0, 0
    for pause, cost in asked:
        now += pause
        if buckets.take("a", per_minute, cost, now).wait_s == 0.0:
            got += min(cost, per_minute)

    assert got <= per_minute * (1 + now / 60) + 1e-6
