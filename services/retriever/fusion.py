"""One score out of two: the dense cosine and the lexical BM25 of the same candidates. Pure."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from services.retriever.plan import FusionPlan

Scores = NDArray[np.float32]


def blend(cosine: Scores, bm25: Scores, lexical_weight: float) -> Scores:
    """Return ``cosine + lexical_weight * bm25 / max(bm25)``; the cosine alone when no term occurs."""
    top = float(bm25.max(initial=0.0))
    if top <= 0.0:
        return cosine.astype(np.float32)
    return (cosine + np.float32(lexical_weight / top) * bm25).astype(np.float32)


def reciprocal_ranks(cosine: Scores, bm25: Scores, rrf_k: float) -> Scores:
    """Return the sum of ``1 / (rrf_k + rank)`` over both orders (Cormack et al., SIGIR 2009).

    Ranks start at 1; a candidate in which no query term occurs has no lexical rank.
    """
    fused = 1.0 / (rrf_k + _ranks(cosine))
    fused += np.where(bm25 > 0, 1.0 / (rrf_k + _ranks(bm25)), 0.0)
    return fused.astype(np.float32)


def fuse(cosine: Scores, bm25: Scores, plan: FusionPlan) -> Scores:
    """Return the fused score of each candidate, by the plan's method."""
    method: Literal["blend", "rrf"] = plan.method
    match method:
        case "blend":
            return blend(cosine, bm25, plan.lexical_weight)
        case "rrf":
            return reciprocal_ranks(cosine, bm25, plan.rrf_k)


def best_first(scores: Scores, limit: int) -> NDArray[np.int64]:
    """Return the positions of the ``limit`` greatest scores, greatest first, ties by position."""
    return np.argsort(-scores, kind="stable")[:limit]


def _ranks(scores: Scores) -> NDArray[np.int64]:
    ranks = np.empty(len(scores), dtype=np.int64)
    ranks[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
    return ranks
