"""How sure a mean is: percentile intervals of a bootstrap over whole clusters. Pure, fixed by its seed.

Queries of one article or actor resemble each other, so clusters are drawn, not queries; the mean of a
draw is over its queries. (Efron and Tibshirani, 1993, chapters 6, 8 and 13.)
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimtab.evaluation.metrics import Values

RESAMPLES = 4000
CONFIDENCE = 0.95
_AT_ONCE = 4_000_000
"""Drawn clusters held in memory at once: 16 MB."""


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


class Clusters:
    """Which queries belong together, and the draws of whole clusters that every interval is made of.

    One object for all metrics of a run: they are judged on the same draws, which are made once.
    """

    def __init__(self, names: Sequence[str], seed: int) -> None:
        """``names`` holds each query's cluster; a query whose name is empty is a cluster of its own."""
        self.queries = len(names)
        told = [name or f"\0{number}" for number, name in enumerate(names)]
        _, self._numbers = np.unique(np.array(told), return_inverse=True)
        self._sizes: Values = np.bincount(self._numbers).astype(np.float64)
        self._seed = seed
        self._kept: list[NDArray[np.int32]] = []

    def interval(self, values: Values) -> Interval:
        """Return the mean of one value per query with its interval.

        Raises:
            ValueError: there are no values, or not one for each query.
        """
        if not len(values) or len(values) != self.queries:
            raise ValueError(f"{len(values)} values of {self.queries} queries")
        mean = float(values.mean())
        if len(self._sizes) < 2:
            return Interval(mean, math.nan, math.nan)
        sums: Values = np.bincount(self._numbers, weights=values).astype(np.float64)
        means = [
            sums[drawn].sum(axis=1) / self._sizes[drawn].sum(axis=1) for drawn in self._draws()
        ]
        tail = (1.0 - CONFIDENCE) / 2.0
        low, high = np.quantile(np.concatenate(means), [tail, 1.0 - tail])
        return Interval(mean, float(low), float(high))

    def _draws(self) -> Iterator[NDArray[np.int32]]:
        """Yield the clusters of each draw, (draws, clusters) at a time; few are kept, many made anew."""
        if self._kept:
            yield from self._kept
            return
        count = len(self._sizes)
        rng = np.random.default_rng(self._seed)
        rows = max(1, _AT_ONCE // count)
        for start in range(0, RESAMPLES, rows):
            size = (min(rows, RESAMPLES - start), count)
            drawn = rng.integers(count, size=size, dtype=np.int32)
            if rows >= RESAMPLES:
                self._kept.append(drawn)
            yield drawn


def interval(values: Values, clusters: Sequence[str], seed: int) -> Interval:
    """Return the mean of one value per query with its interval; raises what :meth:`Clusters.interval` does."""
    return Clusters(clusters, seed).interval(values)


def paired(after: Values, before: Values, clusters: Clusters) -> Interval:
    """Return the mean of ``after - before``, of the same queries in the same order, with its interval."""
    if len(after) != len(before):
        raise ValueError(f"{len(after)} values after, {len(before)} before")
    return clusters.interval(after - before)
