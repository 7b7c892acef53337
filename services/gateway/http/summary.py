"""``/metrics/summary``: this process's metrics as JSON, for people without a Prometheus."""

import math
import time
from collections import defaultdict
from collections.abc import Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric


def summarise(registry: CollectorRegistry) -> dict[str, object]:
    """Return ``{counters, histograms, gauges, timestamp}``; labels are joined as ``k=v,k=v``.

    Histograms give count, sum, avg and p50/p95/p99 interpolated inside their bucket.
    """
    counters: dict[str, dict[str, float]] = {}
    gauges: dict[str, dict[str, float]] = {}
    histograms: dict[str, dict[str, dict[str, float]]] = {}
    for metric in registry.collect():
        if metric.type == "histogram":
            histograms[metric.name] = _histogram(metric)
        elif metric.type == "counter":
            counters[f"{metric.name}_total"] = _values(metric, f"{metric.name}_total")
        else:
            gauges[metric.name] = _values(metric, metric.name)
    return {
        "counters": counters,
        "histograms": histograms,
        "gauges": gauges,
        "timestamp": time.time(),
    }


def quantile(buckets: Sequence[tuple[float, float]], q: float) -> float:
    """Return the ``q`` quantile of cumulative ``(upper bound, count)`` buckets; 0.0 without counts.

    Linear inside a bucket, as Prometheus's ``histogram_quantile``; the last finite bound is the most
    it can say.
    """
    total = buckets[-1][1]
    if not total:
        return 0.0
    wanted, lower, below = q * total, 0.0, 0.0
    for upper, count in buckets:
        if count >= wanted:
            if math.isinf(upper):
                return lower
            inside = count - below
            return lower + (upper - lower) * ((wanted - below) / inside if inside else 1.0)
        lower, below = upper, count
    return lower


def _values(metric: Metric, name: str) -> dict[str, float]:
    return {_key(s.labels): s.value for s in metric.samples if s.name == name and _finite(s.value)}


def _histogram(metric: Metric) -> dict[str, dict[str, float]]:
    buckets: dict[str, list[tuple[float, float]]] = defaultdict(list)
    sums: dict[str, float] = {}
    for sample in metric.samples:
        labels = {key: value for key, value in sample.labels.items() if key != "le"}
        if sample.name.endswith("_bucket"):
            buckets[_key(labels)].append((float(sample.labels["le"]), sample.value))
        elif sample.name.endswith("_sum"):
            sums[_key(labels)] = sample.value
    return {key: _describe(sorted(rows), sums.get(key, 0.0)) for key, rows in buckets.items()}


def _describe(buckets: Sequence[tuple[float, float]], total: float) -> dict[str, float]:
    count = buckets[-1][1]
    return {
        "count": count,
        "sum": total,
        "avg": total / count if count else 0.0,
        "p50": quantile(buckets, 0.50),
        "p95": quantile(buckets, 0.95),
        "p99": quantile(buckets, 0.99),
    }


def _key(labels: dict[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def _finite(value: float) -> bool:
    return not (math.isnan(value) or math.isinf(value))
