"""One score out of several: cosine, BM25 and learned sparse scores of the same candidates. Pure."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from services.retriever.plan import FusionPlan, Leg

Scores = NDArray[np.float32]

BOTH: tuple[Leg, ...] = ("dense", "words")
"""What is fused where nothing else is said."""


@dataclass(frozen=True, slots=True)
class LegScores:
    """Scores of n candidates, one array for each way to find them."""

    cosine: Scores
    """(n,) query-passage cosine."""
    bm25: Scores
    """(n,) BM25 score, >= 0; 0 in which no query term occurs."""
    sparse: Scores | None = None
    """(n,) inner product of learned sparse vectors, >= 0; None where they were not searched."""

    def pick(self, positions: NDArray[np.int64] | slice) -> "LegScores":
        """Return the scores of some of the candidates."""
        sparse = None if self.sparse is None else self.sparse[positions]
        return LegScores(self.cosine[positions], self.bm25[positions], sparse)


def blend(cosine: Scores, bm25: Scores, lexical_weight: float) -> Scores:
    """Return ``cosine + lexical_weight * bm25 / max(bm25)``; the cosine alone when no term occurs."""
    return (cosine + _share(bm25, lexical_weight)).astype(np.float32)


def reciprocal_ranks(cosine: Scores, bm25: Scores, rrf_k: float) -> Scores:
    """Return the sum of ``1 / (rrf_k + rank)`` over both orders (Cormack et al., SIGIR 2009).

    Ranks start at 1; a candidate in which no query term occurs has no lexical rank.
    """
    return (1.0 / (rrf_k + _ranks(cosine)) + _reciprocal(bm25, rrf_k)).astype(np.float32)


def fuse(scores: LegScores, plan: FusionPlan, legs: Collection[Leg] = BOTH) -> Scores:
    """Return the fused score of each candidate, by the plan's method over some of the legs.

    A leg of which there are no scores counts nothing.
    """
    method: Literal["blend", "rrf"] = plan.method
    fused = np.zeros(len(scores.cosine))
    for part in _blended(scores, plan, legs) if method == "blend" else _ranked(scores, plan, legs):
        fused = fused + part
    return fused.astype(np.float32)


def best_first(scores: Scores, limit: int) -> NDArray[np.int64]:
    """Return the positions of the ``limit`` greatest scores, greatest first, ties by position."""
    return np.argsort(-scores, kind="stable")[:limit]


def _blended(
    scores: LegScores, plan: FusionPlan, legs: Collection[Leg]
) -> Iterator[NDArray[np.floating]]:
    if "dense" in legs:
        yield scores.cosine
    if "words" in legs:
        yield _share(scores.bm25, plan.lexical_weight)
    if "sparse" in legs and scores.sparse is not None:
        yield _share(scores.sparse, plan.sparse_weight)


def _ranked(
    scores: LegScores, plan: FusionPlan, legs: Collection[Leg]
) -> Iterator[NDArray[np.floating]]:
    if "dense" in legs:
        yield 1.0 / (plan.rrf_k + _ranks(scores.cosine))
    if "words" in legs:
        yield _reciprocal(scores.bm25, plan.rrf_k)
    if "sparse" in legs and scores.sparse is not None:
        yield _reciprocal(scores.sparse, plan.rrf_k)


def _share(scores: Scores, weight: float) -> NDArray[np.float64]:
    """Return ``weight * scores / max(scores)``; zeros where all are."""
    top = float(scores.max(initial=0.0))
    return (weight / top if top > 0.0 else 0.0) * scores.astype(np.float64)


def _reciprocal(scores: Scores, rrf_k: float) -> NDArray[np.float64]:
    return np.where(scores > 0, 1.0 / (rrf_k + _ranks(scores)), 0.0)


def _ranks(scores: Scores) -> NDArray[np.int64]:
    ranks = np.empty(len(scores), dtype=np.int64)
    ranks[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
    return ranks
