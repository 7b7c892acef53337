"""Learned sparse vectors of a collection, searched by inner product over segments that take changes one by one.

The same columns and segments as those of BM25, with the model's weights as values: nothing is counted over the
passages, so nothing is ever out of date, and every edition of a collection shares one index.
"""

from collections.abc import Sequence

import numpy as np

from services.retriever.passages.visibility import VisibleSet
from services.retriever.words.columns import Columns
from services.retriever.words.segment import Matches, Segment, Slots, Wanted
from services.retriever.words.segments import Merge, Segments
from services.retriever.words.walk import Scores
from trimtab.contracts.sparse import SparseRow

_MEAN = 1.0
"""Mean length that BM25's values depend on; these depend on none."""


class SparseIndex:
    """Inner products over a set of passages. Everything but a merge's run happens in one thread."""

    def __init__(self) -> None:
        self._segments = Segments()

    @property
    def size(self) -> int:
        """Passages that have a vector."""
        return sum(live.size for live in self._segments.each)

    @property
    def postings(self) -> int:
        """Terms of all of them, those that were taken out and not merged away yet included."""
        return sum(len(live.segment.columns.rows) for live in self._segments.each)

    @property
    def segments(self) -> int:
        """Parts that every search goes through."""
        return len(self._segments.each)

    def put(self, slots: Slots, rows: Sequence[SparseRow]) -> None:
        """Take in the vectors at n distinct slots, new or changed; an empty one is never found."""
        self._segments.bury(slots)
        filled = [number for number, row in enumerate(rows) if len(row.ids)]
        filled.sort(key=lambda number: int(slots[number]))
        if filled:
            chosen = [rows[number] for number in filled]
            lengths = np.array([len(row.ids) for row in chosen], dtype=np.int32)
            made = Segment.of(slots[filled], lengths, _columns(chosen), _MEAN)
            self._segments.add(made, _unscaled, _MEAN)

    def remove(self, slots: Slots) -> None:
        """Take passages out; slots that hold none change nothing."""
        self._segments.bury(slots)

    def search(self, query: SparseRow, limit: int, visible: VisibleSet, others: Slots) -> Matches:
        """Return the ``limit`` visible passages of greatest inner product, and those of ``others``.

        Exact: what is left out by bounds could not have come in. A passage that shares no term is not found.
        """
        return self._segments.search(_wanted(query), limit, visible, others)

    def scores(self, query: SparseRow, slots: Slots) -> Scores:
        """Return the inner product with each slot's vector; 0 where there is none."""
        return self._segments.scores(_wanted(query), slots)

    def due(self) -> Merge | None:
        """Return work that keeps searches fast, to be run beside them; None: all is well."""
        return self._segments.due(_unscaled, _MEAN, lambda _segment: False)

    def adopt(self, merge: Merge, made: Segment) -> None:
        """Search what a merge made in place of what it was made of."""
        self._segments.adopt(merge, made)

    def settle(self) -> None:
        """Merge all that is due, here and now: while nobody searches."""
        while (merge := self.due()) is not None:
            self.adopt(merge, merge.run())


def _columns(rows: Sequence[SparseRow]) -> Columns:
    terms = np.concatenate([row.ids for row in rows]).astype(np.int64)
    values = np.concatenate([row.weights for row in rows]).astype(np.float32)
    numbers = np.repeat(np.arange(len(rows), dtype=np.int32), [len(row.ids) for row in rows])
    order = np.argsort(terms, kind="stable")  # passages stay ascending within each term
    terms = terms[order]
    starts = np.flatnonzero(np.diff(terms, prepend=-1))
    return Columns.of(terms[starts], np.append(starts, len(terms)), numbers[order], values[order])


def _wanted(query: SparseRow) -> Wanted:
    ids = query.ids.astype(np.int64)
    return Wanted(ids, query.weights, np.zeros(len(ids), dtype=np.bool_))


def _unscaled(segment: Segment) -> Columns:
    return segment.columns
