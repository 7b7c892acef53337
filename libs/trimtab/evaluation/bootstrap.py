"""How sure a mean is: percentile intervals of a bootstrap over whole clusters. Pure, fixed by its seed.

Queries of one article or actor resemble each other, so clusters are drawn, not queries; the mean of a
draw is over its queries. (Efron and Tibshirani, 1993, chapters 6, 8 and 13.)
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trimtab.evaluation.metrics import Values

RESAMPLES = 4000
CONFIDENCE = 0.95
_AT_ONCE = 4_000_000
"""Draws held in memory: 32 MB."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and where it lies at 95 % confidence."""

    mean: float
    """Of all queries."""
    low: float
    """Lower end; not a number when there is one cluster only, which says nothing of others."""
    high: float
    """Upper end; likewise."""

    def shape(self, scale: float = 1.0) -> dict[str, float | None]:
        """Return it for scripts, times ``scale``."""
        named = {"mean": self.mean, "low": self.low, "high": self.high}
        return {name: None if math.isnan(v) else v * scale for name, v in named.items()}

    def text(self, scale: float = 1.0, digits: int = 2) -> str:
        """Return it for people: ``+1.20 [0.40, 2.10]``."""
        if math.isnan(self.low):
            return f"{self.mean * scale:.{digits}f} [no interval: one cluster]"
        ends = f"{self.low * scale:.{digits}f}, {self.high * scale:.{digits}f}"
        return f"{self.mean * scale:.{digits}f} [{ends}]"


def interval(values: Values, clusters: Sequence[str], seed: int) -> Interval:
    """Return the mean of one value per query with its interval.

    ``clusters`` names each query's cluster; a query whose name is empty is a cluster of its own.

    Raises:
        ValueError: there are no values, or not one cluster name for each.
    """
    if not len(values) or len(values) != len(clusters):
        raise ValueError(f"{len(values)} values of {len(clusters)} queries")
    names = [name or f"\0{number}" for number, name in enumerate(clusters)]
    _, numbers = np.unique(np.array(names), return_inverse=True)
    sums: Values = np.bincount(numbers, weights=values).astype(np.float64)
    sizes = np.bincount(numbers).astype(np.float64)
    mean = float(values.mean())
    if len(sums) < 2:
        return Interval(mean, math.nan, math.nan)
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(_resampled(sums, sizes, seed), [tail, 1.0 - tail])
    return Interval(mean, float(low), float(high))


def paired(after: Values, before: Values, clusters: Sequence[str], seed: int) -> Interval:
    """Return the mean of ``after - before``, of the same queries in the same order, with its interval."""
    if len(after) != len(before):
        raise ValueError(f"{len(after)} values after, {len(before)} before")
    return interval(after - before, clusters, seed)


def _resampled(sums: Values, sizes: Values, seed: int) -> Values:
    rng = np.random.default_rng(seed)
    shares = np.full(len(sums), 1.0 / len(sums))
    rows = max(1, _AT_ONCE // len(sums))
    means = []
    for start in range(0, RESAMPLES, rows):
        drawn = rng.multinomial(len(sums), shares, size=min(rows, RESAMPLES - start))
        means.append((drawn @ sums) / (drawn @ sizes))
    return np.concatenate(means)
