"""What a reranker learns of candidates: from their vectors, words and token vectors. Pure."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.retriever.maxsim import maxsim
from trimtab.contracts.errors import DimensionMismatch
from trimtab.contracts.retrieve import Signals
from trimtab.contracts.tensor import Matrix

Scores = NDArray[np.float32]


def signals(
    *,
    fused: Scores,
    cosine: Scores,
    bm25: Scores,
    late: Scores | None,
    vectors: NDArray[np.float32],
    articles: Sequence[str],
    session: Scores | None = None,
    sparse: Scores | None = None,
) -> Signals:
    """Return the signals of n >= 1 candidates, in the order given.

    Args:
        fused: (n,) score that set the order.
        cosine: (n,) query-passage cosine.
        bm25: (n,) BM25 score.
        late: (n,) MaxSim, or None.
        vectors: (n, dimension) unit rows.
        articles: n names; equal names get equal numbers, from 0 in order of first sight.
        session: (dimension,) mean of the caller's previous queries at unit length, or None.
        sparse: (n,) inner product of learned sparse vectors, or None.
    """
    numbers: dict[str, int] = {}
    return Signals(
        fused=_row(fused),
        cosine=_row(cosine),
        bm25=_row(bm25),
        maxsim=None if late is None else _row(late),
        gram=Matrix.of((vectors @ vectors.T).astype(np.float16)),
        articles=[numbers.setdefault(name, len(numbers)) for name in articles],
        session=None if session is None else _row(vectors @ session),
        sparse=None if sparse is None else _row(sparse),
    )


def late_interaction(
    query: NDArray[np.int8] | None, passages: Sequence[bytes], dimension: int
) -> Scores | None:
    """Return MaxSim of each passage; None when query or passages come without token vectors.

    Raises:
        DimensionMismatch: the query's token vectors are not of the passages' ``dimension``.
    """
    if query is None or not any(passages):
        return None
    if query.shape[1] != dimension:
        raise DimensionMismatch("query token vectors", query.shape[1], dimension)
    return maxsim(query, passages)


def _row(scores: Scores) -> Matrix:
    return Matrix.of(scores.astype(np.float32, copy=False).reshape(1, -1))
