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

    def kept(self, row: SparseRow, kind: Kind) -> SparseRow:
        """Return what a text of that kind keeps of a vector: its heaviest terms, each at most the cap.

        They are chosen before the cap makes equals of what was not.
        """
        best = _heaviest(row, self.query_terms if kind == "query" else self.passage_terms)
        return SparseRow(best.ids, np.minimum(best.weights, np.float32(self.cap)))


def pruned(weights: NDArray[np.float32], terms: int) -> SparseRow:
    """Return the ``terms`` greatest of (vocabulary,) weights, as heavy as they are; of equals the lower ids.

    Weights that are not positive, or too small to matter, are left out.
    """
    ids = np.flatnonzero(weights >= LEAST_WEIGHT)
    return _heaviest(SparseRow(ids.astype(np.uint32), weights[ids]), terms)


def _heaviest(row: SparseRow, terms: int) -> SparseRow:
    if len(row.ids) <= terms:
        return row
    best = np.sort(np.lexsort((row.ids, -row.weights))[:terms])
    return SparseRow(row.ids[best], row.weights[best])
