"""Lexical features of many texts at once, for training: counted once, weighted anew for every split."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.mapper import lexical
from services.mapper.anchors import Terms
from services.mapper.network import Array


@dataclass(frozen=True, slots=True)
class Bags:
    """Counted features of texts; needs scipy, which comes with scikit-learn."""

    counts: Any
    """(texts, buckets), sparse by row."""

    @classmethod
    def of(cls, texts: Sequence[str], buckets: int) -> "Bags":
        """Count the features of texts."""
        from scipy.sparse import csr_matrix  # type: ignore[import-untyped]

        rows = [lexical.counts(text, buckets) for text in texts]
        starts = np.cumsum([0, *(len(places) for places, _ in rows)])
        values = np.concatenate([values for _, values in rows])
        places = np.concatenate([places for places, _ in rows])
        shape = (len(rows), buckets)
        return cls(csr_matrix((values, places, starts), shape=shape, dtype=np.float32))

    def pick(self, rows: NDArray[np.int64]) -> "Bags":
        """Return the bags of some texts."""
        return Bags(self.counts[rows])

    def idf(self) -> Array:
        """Return what :func:`lexical.inverse_frequencies` returns for these texts."""
        seen = np.bincount(self.counts.indices, minlength=self.counts.shape[1])
        weights = 1.0 + np.log((1 + self.counts.shape[0]) / (1 + seen))
        return np.asarray(weights, dtype=np.float32)

    def weighted(self, idf: Array) -> Any:
        """Return what :func:`lexical.weighted` returns, of all texts as one sparse matrix."""
        made = self.counts.copy()
        made.data = made.data * idf[made.indices]
        return _unit(made)


def terms(bags: Any, labels: NDArray[np.int64], count: int) -> Terms:
    """Return the words of each label: its texts' weighted bags added up, of unit length."""
    from scipy.sparse import csr_matrix

    owners = csr_matrix(
        (np.ones(len(labels), np.float32), (labels, np.arange(len(labels)))),
        shape=(count, len(labels)),
    )
    by_bucket = _unit((owners @ bags).tocsr()).tocsc()
    by_bucket.sort_indices()
    return Terms(
        by_bucket.indptr.astype(np.int64),
        by_bucket.indices.astype(np.int64),
        by_bucket.data.astype(np.float32),
    )


def _unit(matrix: Any) -> Any:
    """Scale every row of a sparse matrix to unit length; an empty row stays empty."""
    owner = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    squares = np.bincount(owner, weights=matrix.data**2, minlength=matrix.shape[0])
    norms = np.sqrt(np.maximum(squares, 1e-24)).astype(np.float32)
    matrix.data = matrix.data / norms[owner]
    return matrix
