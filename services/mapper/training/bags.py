"""Lexical features of many texts at once, for training: counted once, chosen and weighted for every split."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.mapper.model import lexical
from services.mapper.model.anchors import Terms
from services.mapper.model.lexical import Lexicon

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Bags:
    """Counted features of texts; needs scipy, which comes with scikit-learn."""

    counts: Any
    """(texts, features), sparse by row."""
    hashes: Indices
    """(features,) hash of each, rising."""

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Bags":
        """Count the features of texts."""
        from scipy.sparse import csr_matrix

        rows = [lexical.counts(text, lexical.SPACE) for text in texts]
        starts = np.cumsum([0, *(len(places) for places, _ in rows)])
        values = np.concatenate([values for _, values in rows])
        hashes, places = np.unique(
            np.concatenate([places for places, _ in rows]), return_inverse=True
        )
        shape = (len(rows), len(hashes))
        return cls(csr_matrix((values, places, starts), shape=shape, dtype=np.float32), hashes)

    def pick(self, rows: Indices) -> "Bags":
        """Return the bags of some texts."""
        return Bags(self.counts[rows], self.hashes)

    def lexicon(self, targets: Indices, labels: int, limit: int) -> Lexicon:
        """Return the features that count: of several texts, one of those that always come together.

        Of more than ``limit`` the most telling ones. A feature tells as much as its texts' labels
        differ from those of all texts: their number times the divergence of the two distributions.
        """
        seen = np.bincount(self.counts.indices, minlength=len(self.hashes))
        kept = self._distinct(np.flatnonzero(seen >= min(2, seen.max(initial=1))))
        if len(kept) > limit:
            told = self._told(targets, labels)[kept]
            kept = np.sort(kept[np.argsort(-told, kind="stable")[:limit]])
        idf = 1.0 + np.log((1 + self.counts.shape[0]) / (1 + seen[kept]))
        return Lexicon(np.asarray(idf, dtype=np.float32), self.hashes[kept])

    def _distinct(self, features: Indices) -> Indices:
        """Return the first of all features that stand in exactly the same texts.

        The letter groups of one rare word do: together they would drown the words beside it.
        """
        mark = np.random.default_rng(0).random(self.counts.shape[0])
        texts = np.repeat(mark, np.diff(self.counts.indptr))
        sums = np.bincount(self.counts.indices, weights=texts, minlength=len(self.hashes))
        _, first = np.unique(sums[features], return_index=True)
        return features[np.sort(first)]

    def _told(self, targets: Indices, labels: int) -> NDArray[np.float64]:
        texts = self.counts.shape[0]
        here = self.counts.copy()
        here.data[:] = 1.0
        by_label = (_owners(targets, labels) @ here).tocsc()
        feature = np.repeat(np.arange(len(self.hashes)), np.diff(by_label.indptr))
        seen = np.bincount(feature, weights=by_label.data, minlength=len(self.hashes))
        share = by_label.data / seen[feature]
        usual = np.bincount(targets, minlength=labels) / texts
        gains = by_label.data * np.log(share / usual[by_label.indices])
        told = np.bincount(feature, weights=gains, minlength=len(self.hashes))
        return np.asarray(told, dtype=np.float64)

    def weighted(self, lexicon: Lexicon) -> Any:
        """Return what :meth:`Lexicon.bag` returns, of all texts as one (texts, buckets) sparse matrix."""
        if lexicon.keys is None:
            raise ValueError("a lexicon of folded features does not say which they are")
        made = self.counts[:, np.searchsorted(self.hashes, lexicon.keys)].tocsr()
        made.data = made.data * lexicon.idf[made.indices]
        return _unit(made)


def terms(bags: Any, targets: Indices, labels: int) -> Terms:
    """Return the words of each label: its texts' weighted bags added up, of unit length."""
    by_bucket = _unit((_owners(targets, labels) @ bags).tocsr()).tocsc()
    by_bucket.sort_indices()
    return Terms(
        by_bucket.indptr.astype(np.int64),
        by_bucket.indices.astype(np.int64),
        by_bucket.data.astype(np.float32),
    )


def _owners(targets: Indices, labels: int) -> Any:
    """Return (labels, texts): 1 where a text is of a label."""
    from scipy.sparse import csr_matrix

    ones, texts = np.ones(len(targets), np.float32), np.arange(len(targets))
    return csr_matrix((ones, (targets, texts)), shape=(labels, len(targets)))


def _unit(matrix: Any) -> Any:
    """Scale every row of a sparse matrix to unit length; an empty row stays empty."""
    owner = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    squares = np.bincount(owner, weights=matrix.data**2, minlength=matrix.shape[0])
    norms = np.sqrt(np.maximum(squares, 1e-24)).astype(np.float32)
    matrix.data = matrix.data / norms[owner]
    return matrix
