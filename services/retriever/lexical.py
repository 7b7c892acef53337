"""The lexical half: BM25 over term ids, built whole by bm25s and then only read.

bm25s computes every (term, passage) score at build time (Lù, 2024); this module keeps these columns and
finds the best passages by MaxScore (Turtle and Flood, 1995): a common term's long column is not
walked once it can no longer lift a new passage into the result. Exact, as the tests show.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import bm25s
import numpy as np
from numpy.typing import NDArray

from services.retriever.plan import LexicalPlan
from services.retriever.visibility import VisibleSet

Slots = NDArray[np.int64]
Scores = NDArray[np.float32]
Terms = Sequence[int]
"""Term ids of one passage, repeats kept."""

_LONG_COLUMN = 2048
"""Postings from which it pays to ask whether a column must be walked at all."""


@dataclass(frozen=True, slots=True)
class Matches:
    """What a query's terms find."""

    slots: Slots
    """(n,) best slots, best first; every one holds at least one term."""
    scores: Scores
    """(n,) their BM25 scores, > 0."""
    others: Scores
    """(m,) BM25 scores of the slots that were asked about; 0 where no term occurs."""


@dataclass(frozen=True, slots=True)
class _Column:
    rows: NDArray[np.int32]
    scores: Scores
    weight: float
    upper: float


class LexicalIndex:
    """BM25 scores of one set of passages. Immutable but for a scratch row: search from one thread."""

    def __init__(
        self, slots: Slots, documents: Sequence[Terms], vocabulary: int, plan: LexicalPlan
    ) -> None:
        """Score ``documents``, the term ids below ``vocabulary`` of the passages at ascending ``slots``."""
        self._slots = slots
        self._pointers = np.zeros(vocabulary + 1, dtype=np.int64)
        self._rows = np.empty(0, dtype=np.int32)
        self._values = np.empty(0, dtype=np.float32)
        self._scratch = np.zeros(len(slots), dtype=np.float32)
        if any(len(document) for document in documents):
            self._build(documents, vocabulary, plan)
        starts = self._pointers[:-1]
        filled = self._pointers[1:] > starts
        self._upper = np.zeros(vocabulary, dtype=np.float32)
        if filled.any():
            self._upper[filled] = np.maximum.reduceat(self._values, starts[filled])

    @property
    def size(self) -> int:
        """Passages covered."""
        return len(self._slots)

    def search(self, terms: Terms, limit: int, visible: VisibleSet, others: Slots) -> Matches:
        """Return the ``limit`` best visible passages, and the scores of ``others`` for the same terms.

        Terms it does not know score nothing; a term that is repeated counts as often.
        """
        columns = self._columns(terms)
        rows, asked = self._row_numbers(others)
        if not columns:
            return Matches(
                np.empty(0, dtype=np.int64),
                np.empty(0, dtype=np.float32),
                np.zeros(len(others), dtype=np.float32),
            )
        candidates, walked = self._walk(columns, limit, visible)
        rest = columns[walked:]
        scores = self._scratch[candidates] + _look_up(rest, candidates)
        other_scores = np.where(asked, self._scratch[rows] + _look_up(rest, rows), 0.0)
        for column in columns[:walked]:
            self._scratch[column.rows] = 0.0
        order = np.lexsort((candidates, -scores))[:limit]
        return Matches(
            self._slots[candidates[order]], scores[order], other_scores.astype(np.float32)
        )

    def _build(self, documents: Sequence[Terms], vocabulary: int, plan: LexicalPlan) -> None:
        model = bm25s.BM25(k1=plan.k1, b=plan.b, method="lucene")
        built = model.build_index_from_ids(
            unique_token_ids=range(vocabulary), corpus_token_ids=documents, show_progress=False
        )
        self._pointers = built["indptr"].astype(np.int64)
        self._rows = built["indices"].astype(np.int32)
        self._values = built["data"].astype(np.float32)

    def _columns(self, terms: Terms) -> list[_Column]:
        known, counts = np.unique(np.asarray(terms, dtype=np.int64), return_counts=True)
        columns = []
        for term, count in zip(known.tolist(), counts.tolist(), strict=True):
            if term >= len(self._upper) or self._upper[term] <= 0.0:
                continue
            start, end = self._pointers[term], self._pointers[term + 1]
            upper = float(self._upper[term]) * count
            columns.append(_Column(self._rows[start:end], self._values[start:end], count, upper))
        columns.sort(key=lambda column: -column.upper)
        return columns

    def _walk(
        self, columns: list[_Column], limit: int, visible: VisibleSet
    ) -> tuple[NDArray[np.int32], int]:
        """Add up columns, rarest first; return the visible rows met and how many columns were walked."""
        left = np.cumsum([0.0] + [column.upper for column in reversed(columns)])[::-1]
        found: list[NDArray[np.int32]] = []
        for number, column in enumerate(columns):
            if len(column.rows) >= _LONG_COLUMN and self._settled(
                found, limit, float(left[number])
            ):
                return _joined(found), number
            fresh = column.rows[self._scratch[column.rows] == 0.0]
            self._scratch[column.rows] += np.float32(column.weight) * column.scores
            if not visible.everything:
                fresh = fresh[visible.contains(self._slots[fresh])]
            found.append(fresh)
        return _joined(found), len(columns)

    def _settled(self, found: list[NDArray[np.int32]], limit: int, left: float) -> bool:
        """Whether a passage not met yet can no longer come among the best ``limit``."""
        if sum(map(len, found)) < limit:
            return False
        scores = self._scratch[_joined(found)]
        return bool(np.partition(scores, -limit)[-limit] > left)

    def _row_numbers(self, slots: Slots) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the row of each slot (0 where there is none) and whether it has one."""
        if not len(self._slots):
            return np.zeros(len(slots), dtype=np.int64), np.zeros(len(slots), dtype=np.bool_)
        rows = np.minimum(np.searchsorted(self._slots, slots), len(self._slots) - 1)
        return rows, self._slots[rows] == slots


def _look_up(columns: list[_Column], rows: NDArray[np.integer]) -> Scores:
    """Return what columns that were not walked add to each of ``rows``."""
    total = np.zeros(len(rows), dtype=np.float32)
    for column in columns:
        at = np.minimum(np.searchsorted(column.rows, rows), len(column.rows) - 1)
        total += np.where(
            column.rows[at] == rows, column.scores[at] * np.float32(column.weight), 0.0
        )
    return total


def _joined(parts: list[NDArray[np.int32]]) -> NDArray[np.int32]:
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int32)
