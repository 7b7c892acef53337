"""Quantiles from buckets agree with the samples that filled them, to a bucket's width."""

import random

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.gateway.http.summary import quantile, summarise


def test_a_quantile_lies_in_the_bucket_of_the_true_one() -> None:
    bounds = [1.0, 2.0, 4.0, 8.0]
    draw = random.Random(7)
    values = sorted(draw.uniform(0, 8) for _ in range(5000))
    buckets = [(bound, float(sum(value <= bound for value in values))) for bound in bounds]

    for q in (0.5, 0.95, 0.99):
        assert quantile(buckets, q) == pytest.approx(values[int(q * 5000)], abs=0.3)


def test_an_empty_histogram_says_zero() -> None:
    assert quantile([(1.0, 0.0), (float("inf"), 0.0)], 0.95) == 0.0


def test_the_summary_has_the_runbooks_shape_and_no_number_json_cannot_hold() -> None:
    registry = CollectorRegistry()
    Counter("asks", "Asked.", ("outcome",), registry=registry).labels("ok").inc(3)
    Gauge("share", "Share.", registry=registry).set(float("nan"))
    Histogram("took_seconds", "Took.", buckets=(0.1, 1), registry=registry).observe(0.05)

    summary = summarise(registry)

    assert summary["counters"] == {"asks_total": {"outcome=ok": 3.0}}
    assert summary["gauges"] == {"share": {}}
    histograms = summary["histograms"]
    assert isinstance(histograms, dict)
    assert set(histograms["took_seconds"][""]) == {"count", "sum", "avg", "p50", "p95", "p99"}
