"""How much of the exact answer an approximate one finds. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trimtab.evaluation.metrics import Values

MEMBER_COSINE = 0.9999
"""A query this near to a stored passage is that passage: it says nothing of what people ask."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Shares of the exact answers that were found."""

    depth: int
    """Results compared."""
    queries: int
    """How many."""
    mean: float
    """Mean share."""
    least: float
    """Smallest share."""
    p5: float
    """5th percentile: nearest rank."""
    perfect: float
    """Share of queries that miss nothing."""

    def shape(self) -> dict[str, float | int]:
        """Return it for scripts."""
        return {
            "depth": self.depth,
            "queries": self.queries,
            "mean": self.mean,
            "min": self.least,
            "p5": self.p5,
            "pct_perfect": 100.0 * self.perfect,
        }


def overlap_of(found: Sequence[str], exact: Sequence[str], depth: int) -> float:
    """Return the share of the first ``depth`` exact results among the first ``depth`` found; 1 of none."""
    wanted = set(exact[:depth])
    return len(wanted.intersection(found[:depth])) / len(wanted) if wanted else 1.0


def overlap(
    found: Sequence[Sequence[str]], exact: Sequence[Sequence[str]], depth: int
) -> tuple[Overlap, Values]:
    """Return the summary over all queries, and each query's share.

    Raises:
        ValueError: there are no queries, or not the same number of both.
    """
    if not found or len(found) != len(exact):
        raise ValueError(f"{len(found)} answers of {len(exact)} queries")
    shares = np.array(
        [overlap_of(one, other, depth) for one, other in zip(found, exact, strict=True)]
    )
    summary = Overlap(
        depth,
        len(shares),
        float(shares.mean()),
        float(shares.min()),
        float(np.quantile(shares, 0.05, method="inverted_cdf")),
        float(np.mean(shares == 1.0)),
    )
    return summary, shares
