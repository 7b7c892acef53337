"""Metrics of rankings with one right answer each, and how sure they are. Pure.

A ranking is given by the rank of its right answer: 1 for the first, 0 when it is not there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ranks = NDArray[np.int64]
Values = NDArray[np.float64]

RESAMPLES = 4000
_CONFIDENCE = 0.95


def recall_at(ranks: Ranks, depth: int) -> Values:
    """Return 1 for each query whose right answer is among the first ``depth``, else 0."""
    return ((ranks > 0) & (ranks <= depth)).astype(np.float64)


def reciprocal_rank(ranks: Ranks, depth: int = 10) -> Values:
    """Return 1 / rank of the right answer for each query; 0 when it is not among the first ``depth``."""
    return np.where(recall_at(ranks, depth) > 0, 1.0 / np.maximum(ranks, 1), 0.0)


METRICS: dict[str, Callable[[Ranks], Values]] = {
    "R@1": lambda ranks: recall_at(ranks, 1),
    "R@5": lambda ranks: recall_at(ranks, 5),
    "MRR@10": reciprocal_rank,
    "Contain@50": lambda ranks: recall_at(ranks, 50),
}
"""Each gives one value per query; the figure is their mean."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean difference and its 95 % interval."""

    mean: float
    """Of all queries."""
    low: float
    """Lower end."""
    high: float
    """Upper end."""


def paired_difference(
    after: Values, before: Values, clusters: Sequence[str], seed: int = 11
) -> Difference:
    """Return the mean of ``after - before`` with a bootstrap interval over whole clusters.

    Queries of one article or actor resemble each other, so clusters are resampled, not queries; the
    mean of a resample is over its queries.
    """
    _, numbers = np.unique(np.array(clusters), return_inverse=True)
    sums = np.bincount(numbers, weights=after - before)
    sizes = np.bincount(numbers).astype(np.float64)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(sums), np.full(len(sums), 1.0 / len(sums)), size=RESAMPLES)
    means = (drawn @ sums) / (drawn @ sizes)
    tail = (1.0 - _CONFIDENCE) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return Difference(float((after - before).mean()), float(low), float(high))
