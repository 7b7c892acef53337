"""What a reranker looks at: named features of a query's candidates, with their exact formulas. Pure.

Notation: n candidates; c cosine, b BM25, f fused score, m MaxSim; g passage-passage cosine; a article; s cosine to
the mean of the caller's previous queries.
"Above i" are the candidates before i in the retrieval order (descending f). Runbook 5 names four features
without formulas; its backlog ("top-K margins", "how many results from same article") and the usual
meaning of the words give these.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from services.reranker.candidates import Candidates

Column = NDArray[np.float32]
Feature = Callable[[Candidates], Column]
"""Gives one (n,) float32 column."""

FeatureSetName = Literal["runbook4", "full", "session"]


_LEADERS = 5


def cosine(candidates: Candidates) -> Column:
    """Return ``c_i``: -1..1."""
    return candidates.cosine


def margin(candidates: Candidates) -> Column:
    """Return ``c_i - max_j c_j``: how far behind the nearest candidate; -2..0, 0 for the nearest."""
    return _behind_best(candidates.cosine)


def local_context(candidates: Candidates) -> Column:
    """Return ``sum of g_ij over j != i with a_j = a_i, / (n - 1)``: about -1..1.

    The share of the other candidates that come from the same article, each counted by how similar it
    is: an article that the query is about brings several of its passages into the pool.
    """
    others = max(candidates.count - 1, 1)
    return _f32((candidates.gram * _same_article(candidates)).sum(axis=1) / others)


def diversity(candidates: Candidates) -> Column:
    """Return ``1 - max g_ij over the candidates above i``: 0..2; 1 for the first, which has none above.

    Near 0 for a near copy of something better: the redundancy term of maximal marginal relevance
    (Carbonell and Goldstein, SIGIR 1998).
    """
    order = candidates.order
    ranked = candidates.gram[order[:, np.newaxis], order]
    above = np.tri(candidates.count, k=-1, dtype=np.bool_)
    closest = np.max(ranked, axis=1, where=above, initial=-1.0)
    closest[0] = 0.0
    result = np.empty(candidates.count, dtype=np.float32)
    result[order] = 1.0 - closest
    return result


def consensus(candidates: Candidates) -> Column:
    """Return the mean ``g_ij`` over the 5 best others j by retrieval order: -1..1; 0 for a lone candidate.

    Pseudo-relevance feedback (Rocchio, 1971): what resembles the best candidates is likely relevant too.
    """
    if candidates.count == 1:
        return _nothing(candidates)
    leaders = candidates.order[: _LEADERS + 1]
    similar = candidates.gram[:, leaders]
    others = leaders != np.arange(candidates.count)[:, np.newaxis]
    # Five others each: a leader leaves itself out, everybody else leaves out the last of the six.
    others[:, -1] &= ~others[:, :-1].all(axis=1) | (len(leaders) <= _LEADERS)
    return _f32((similar * others).sum(axis=1) / others.sum(axis=1))


def article_support(candidates: Candidates) -> Column:
    """Return the greatest ``fused_level`` of another candidate of the same article: 0..1; 0 without one."""
    same = _same_article(candidates)
    level = np.broadcast_to(fused_level(candidates), same.shape)
    return _f32(np.max(level, axis=1, where=same, initial=0.0))


def fused_level(candidates: Candidates) -> Column:
    """Return ``(f_i - min f) / (max f - min f)``: 0..1, whatever the scale of the fusion; 1 if all are equal."""
    fused = candidates.fused
    least, spread = fused.min(), np.ptp(fused)
    return _f32((fused - least) / spread) if spread > 0 else np.ones_like(fused)


def fused_rank(candidates: Candidates) -> Column:
    """Return ``1 / rank by f``: 0..1."""
    result = np.empty(candidates.count, dtype=np.float32)
    result[candidates.order] = _reciprocals(candidates.count)
    return result


def cosine_rank(candidates: Candidates) -> Column:
    """Return ``1 / rank by c``: 0..1."""
    return _reciprocal_rank(candidates.cosine, candidates)


def bm25_level(candidates: Candidates) -> Column:
    """Return ``b_i / max b``: 0..1; 0 when no query term occurs anywhere."""
    best = candidates.bm25.max()
    return _f32(candidates.bm25 / best) if best > 0 else np.zeros_like(candidates.bm25)


def bm25_strength(candidates: Candidates) -> Column:
    """Return ``log(1 + b_i)``: >= 0; how much the words say at all, where the level says only who is ahead."""
    return np.log1p(candidates.bm25)


def bm25_rank(candidates: Candidates) -> Column:
    """Return ``1 / rank by b``: 0..1; 0 for a candidate in which no query term occurs."""
    ranks = _reciprocal_rank(candidates.bm25, candidates)
    return np.where(candidates.bm25 > 0, ranks, np.float32(0.0))


def maxsim(candidates: Candidates) -> Column:
    """Return ``m_i``: about -1..1; 0 without token vectors."""
    return candidates.maxsim if candidates.maxsim is not None else _nothing(candidates)


def maxsim_margin(candidates: Candidates) -> Column:
    """Return ``m_i - max_j m_j``: -2..0; 0 without token vectors."""
    late = candidates.maxsim
    return _behind_best(late) if late is not None else _nothing(candidates)


def maxsim_rank(candidates: Candidates) -> Column:
    """Return ``1 / rank by m``: 0..1; 0 without token vectors."""
    late = candidates.maxsim
    return _reciprocal_rank(late, candidates) if late is not None else _nothing(candidates)


def has_maxsim(candidates: Candidates) -> Column:
    """Return 1 when there are token vectors, else 0.

    Tells one network which of two tasks it has: it is trained on every query with and without them.
    """
    return np.full(candidates.count, candidates.maxsim is not None, dtype=np.float32)


def session(candidates: Candidates) -> Column:
    """Return ``s_i``: -1..1; 0 without a session."""
    return candidates.session if candidates.session is not None else _nothing(candidates)


def session_margin(candidates: Candidates) -> Column:
    """Return ``s_i - max_j s_j``: -2..0; 0 without a session."""
    asked = candidates.session
    return _behind_best(asked) if asked is not None else _nothing(candidates)


def session_support(candidates: Candidates) -> Column:
    """Return ``max s`` for every candidate: -1..1; 0 without a session.

    How much the session has to do with this query at all: where its best is far from everything found,
    the caller asks of something else now.
    """
    asked = candidates.session
    best = 0.0 if asked is None else float(asked.max())
    return np.full(candidates.count, best, dtype=np.float32)


def has_session(candidates: Candidates) -> Column:
    """Return 1 when the caller asked before, else 0: trained, as ``has_maxsim``, on queries with and without."""
    return np.full(candidates.count, candidates.session is not None, dtype=np.float32)


_RUNBOOK4: tuple[Feature, ...] = (cosine, margin, local_context, diversity)

_FULL: tuple[Feature, ...] = (
    *_RUNBOOK4,
    consensus,
    article_support,
    fused_level,
    fused_rank,
    cosine_rank,
    bm25_level,
    bm25_strength,
    bm25_rank,
    maxsim,
    maxsim_margin,
    maxsim_rank,
    has_maxsim,
)

FEATURE_SETS: dict[FeatureSetName, tuple[Feature, ...]] = {
    "runbook4": _RUNBOOK4,
    "full": _FULL,
    "session": (*_FULL, session, session_margin, session_support, has_session),
}
"""By name. Trained weights depend on every formula in a set: a change of one is a set of another name."""


def names(feature_set: FeatureSetName) -> tuple[str, ...]:
    """Return the names of a set's features, in column order."""
    return tuple(feature.__name__ for feature in FEATURE_SETS[feature_set])


def matrix(candidates: Candidates, feature_set: FeatureSetName) -> NDArray[np.float32]:
    """Return (n, features) float32 in the order sent; every number is finite."""
    return np.stack([feature(candidates) for feature in FEATURE_SETS[feature_set]], axis=1)


def _same_article(candidates: Candidates) -> NDArray[np.bool_]:
    """Return (n, n): whether two different candidates are of one article."""
    same: NDArray[np.bool_] = candidates.articles[:, np.newaxis] == candidates.articles
    np.fill_diagonal(same, val=False)
    return same


def _behind_best(scores: Column) -> Column:
    behind: Column = scores - scores.max()
    return behind


def _reciprocal_rank(scores: Column, candidates: Candidates) -> Column:
    """Return 1 / rank by descending score; ties are ranked by retrieval order."""
    order = candidates.order
    result = np.empty(candidates.count, dtype=np.float32)
    result[order[np.argsort(-scores[order], kind="stable")]] = _reciprocals(candidates.count)
    return result


def _reciprocals(count: int) -> Column:
    return np.float32(1.0) / np.arange(1, count + 1, dtype=np.float32)


def _nothing(candidates: Candidates) -> Column:
    return np.zeros(candidates.count, dtype=np.float32)


def _f32(values: NDArray[np.floating]) -> Column:
    return values.astype(np.float32, copy=False)
