"""Which terms of a model's output are kept: the heaviest few, none heavier than a cap. Pure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimtab.contracts.sparse import LEAST_WEIGHT, Kind, SparseRow


@dataclass(frozen=True, slots=True)
class Pruning:
    """How much of a vector is kept. Bounded: an index holds every kept term of every passage."""

    passage_terms: int = 128
    """Most terms of a passage."""
    query_terms: int = 32
    """Most terms of a query."""
    cap: float = 5.0
    """Greatest weight; a term that is heavier counts as that heavy."""

    @property
    def most(self) -> int:
        """Terms from which both kinds can be cut."""
        return max(self.passage_terms, self.query_terms)

    def of(self, kind: Kind) -> int:
        """Return the most terms of a text of that kind."""
        return self.query_terms if kind == "query" else self.passage_terms


def pruned(weights: NDArray[np.float32], terms: int, cap: float) -> SparseRow:
    """Return the ``terms`` greatest of (vocabulary,) weights, each at most ``cap``; of equals the lower ids.

    Weights that are not positive, or too small to matter, are left out.
    """
    ids = np.flatnonzero(weights >= LEAST_WEIGHT)
    return _best(ids.astype(np.uint32), np.minimum(weights[ids], np.float32(cap)), weights, terms)


def cut(row: SparseRow, terms: int) -> SparseRow:
    """Return the ``terms`` heaviest of a vector; of equals the lower ids."""
    return _kept(row.ids, row.weights, row.weights, terms)


def _best(
    ids: NDArray[np.uint32],
    capped: NDArray[np.float32],
    weights: NDArray[np.float32],
    terms: int,
) -> SparseRow:
    """Choose by the weights as they were: the cap makes equals of what was not."""
    return _kept(ids, capped, weights[ids], terms)


def _kept(
    ids: NDArray[np.uint32],
    weights: NDArray[np.float32],
    by: NDArray[np.float32],
    terms: int,
) -> SparseRow:
    if len(ids) <= terms:
        return SparseRow(ids, weights)
    best = np.sort(np.lexsort((ids, -by))[:terms])
    return SparseRow(ids[best], weights[best])
