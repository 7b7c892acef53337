"""Every (term, passage) score of BM25, computed at once and kept column by column. Pure.

The formula is Lucene's, as bm25s has it (Lù, 2024; its scores are this module's test): with tf the times
term t stands in passage p, df the passages that hold t, and n passages of mean length l,

    log(1 + (n - df + 0.5) / (df + 0.5)) * tf / (tf + k1 * (1 - b + b * len(p) / l))
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.retriever.plan import LexicalPlan

Terms = Sequence[int]
"""Term ids of one passage, repeats kept; an ``array("i")`` where it stays in memory."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The scores of each term, by ascending passage."""

    pointers: NDArray[np.int64]
    """(terms + 1,): column t is ``[pointers[t] : pointers[t + 1]]`` of the other two."""
    rows: NDArray[np.int32]
    """Passage numbers."""
    scores: NDArray[np.float32]
    """BM25 of that term in that passage, > 0."""

    def greatest(self) -> NDArray[np.float32]:
        """Return the greatest score of each term; 0 for a term of no passage."""
        starts = self.pointers[:-1]
        filled = self.pointers[1:] > starts
        upper = np.zeros(len(starts), dtype=np.float32)
        if filled.any():
            upper[filled] = np.maximum.reduceat(self.scores, starts[filled])
        return upper


def columns_of(documents: Sequence[Terms], vocabulary: int, plan: LexicalPlan) -> Columns:
    """Return the scores of ``documents``, whose term ids are below ``vocabulary``."""
    count = len(documents)
    lengths = np.fromiter(map(len, documents), dtype=np.int64, count=count)
    if not lengths.any():
        nothing = np.zeros(vocabulary + 1, dtype=np.int64)
        return Columns(nothing, np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32))
    joined = b"".join(memoryview(_as_array(document)) for document in documents)
    # One sort of (term, passage) pairs, one number each: it counts repeats and makes the columns.
    pairs = np.frombuffer(joined, dtype=np.intc).astype(np.int64) * count
    pairs += np.repeat(np.arange(count), lengths)
    pairs.sort()
    first = np.flatnonzero(np.diff(pairs, prepend=-1))
    frequency = np.diff(first, append=len(pairs))
    terms, rows = np.divmod(pairs[first], count)
    held_by = np.bincount(terms, minlength=vocabulary)
    rarity = np.log1p((count - held_by + 0.5) / (held_by + 0.5))
    damping = plan.k1 * (1.0 - plan.b + plan.b * lengths / lengths.mean())
    scores = rarity[terms] * frequency / (frequency + damping[rows])
    return Columns(
        np.concatenate(([0], np.cumsum(held_by))),
        rows.astype(np.int32),
        scores.astype(np.float32),
    )


def _as_array(document: Terms) -> "array[int]":
    return document if isinstance(document, array) else array("i", document)
