"""The lexical half: the best passages for a query's terms, from BM25 columns that are only read.

Columns are walked rarest first, in the manner of MaxScore (Turtle and Flood, 1995): a column that cannot
lift a new passage into the result is only looked up for the passages already met. So is, once there
are enough of these, the column of a term that stands in more than every twentieth passage: a passage that
shares nothing but such words with the query is no candidate.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.retriever.bm25 import Terms, columns_of
from services.retriever.plan import LexicalPlan
from services.retriever.visibility import VisibleSet

Slots = NDArray[np.int64]
Scores = NDArray[np.float32]
Rows = NDArray[np.int32]

_LONG_COLUMN = 1024
"""Postings from which it pays to ask whether a column must be walked at all."""

_WALK_FACTOR = 16
"""A binary search in a column costs about as much as walking that many of its postings."""

_COMMON_SHARE = 0.05
"""A term in more passages than that finds none by itself, if rarer ones found enough."""


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
    rows: Rows
    scores: Scores
    upper: float


class _Walk:
    """What was met so far; the scores stand in the index's scratch row."""

    def __init__(self, columns: list[_Column]) -> None:
        self.rest = columns
        """Columns not walked, by descending upper bound."""
        self.touched: list[Rows] = []
        """Rows of the scratch that are not 0 any more."""
        self.count = 0
        """Rows met that may come out."""
        self._seen: list[Rows] = [np.empty(0, dtype=np.int32)]

    def add(self, touched: Rows, seen: Rows) -> None:
        """Account for the next column: the rows it met first, and those of them that may come out."""
        self.rest = self.rest[1:]
        self.touched.append(touched)
        self._seen.append(seen)
        self.count += len(seen)

    def settled(self, scratch: Scores, limit: int) -> bool:
        """Whether a row not met yet can no longer come among the best ``limit``; that many were met."""
        return _least(scratch[np.concatenate(self._seen)], limit) > self._still_to_come

    def hopeful(self, scratch: Scores, limit: int) -> Rows:
        """Return the rows met that may come among the best ``limit``."""
        seen = np.concatenate(self._seen)
        if len(seen) <= limit:
            return seen
        partial = scratch[seen]
        hopeful: Rows = seen[partial + self._still_to_come >= _least(partial, limit)]
        return hopeful

    @property
    def _still_to_come(self) -> float:
        # A little more than the sum, so that rounding never cuts off an equal.
        return 1.0001 * sum(column.upper for column in self.rest)


class LexicalIndex:
    """BM25 scores of one set of passages. Immutable but for a scratch row: search from one thread."""

    def __init__(
        self, slots: Slots, documents: Sequence[Terms], vocabulary: int, plan: LexicalPlan
    ) -> None:
        """Score ``documents``, the term ids below ``vocabulary`` of the passages at ascending ``slots``."""
        columns = columns_of(documents, vocabulary, plan)
        self._slots = slots
        self._pointers, self._rows, self._values = columns.pointers, columns.rows, columns.scores
        self._upper = columns.greatest()
        self._scratch = np.zeros(len(slots), dtype=np.float32)

    @property
    def size(self) -> int:
        """Passages covered."""
        return len(self._slots)

    def search(self, terms: Terms, limit: int, visible: VisibleSet, others: Slots) -> Matches:
        """Return the ``limit`` best visible passages, and the scores of ``others`` for the same terms.

        Terms it does not know score nothing; a term that is repeated counts as often. Scores are exact.
        """
        columns = self._columns(terms)
        rows, asked = self._row_numbers(others)
        if not columns:
            return Matches(_no_slots(), _no_scores(), np.zeros(len(others), dtype=np.float32))
        walk = self._walk(columns, limit, visible)
        candidates = walk.hopeful(self._scratch, limit)
        scores = self._complete(walk, np.concatenate([candidates, rows]))
        other_scores = np.where(asked, scores[len(candidates) :], np.float32(0.0))
        scores = scores[: len(candidates)]
        self._reset(walk.touched)
        if len(candidates) > limit:
            best = scores >= _least(scores, limit)
            candidates, scores = candidates[best], scores[best]
        order = np.lexsort((candidates, -scores))[:limit]
        return Matches(self._slots[candidates[order]], scores[order], other_scores)

    def _columns(self, terms: Terms) -> list[_Column]:
        columns = []
        for term, count in Counter(terms).items():
            if term >= len(self._upper) or self._upper[term] <= 0.0:
                continue
            start, end = self._pointers[term], self._pointers[term + 1]
            scores = self._values[start:end]
            if count > 1:
                scores = np.float32(count) * scores
            upper = count * float(self._upper[term])
            columns.append(_Column(self._rows[start:end], scores, upper))
        columns.sort(key=lambda column: -column.upper)
        return columns

    def _walk(self, columns: list[_Column], limit: int, visible: VisibleSet) -> _Walk:
        """Add up columns, rarest first, until no other passage can, or should, come in."""
        walk = _Walk(columns)
        for column in columns:
            if walk.count >= limit and self._may_skip(column, walk, limit):
                break
            known = self._scratch[column.rows]
            fresh = column.rows[known == 0.0]
            self._scratch[column.rows] = known + column.scores
            seen = fresh
            if not visible.everything:
                seen = fresh[visible.contains(self._slots[fresh])]
            walk.add(fresh, seen)
        return walk

    def _complete(self, walk: _Walk, rows: Rows) -> Scores:
        """Return the full scores of ``rows``: short columns are added up, long ones looked up."""
        looked_up = np.zeros(len(rows), dtype=np.float32)
        for column in walk.rest:
            if len(column.rows) < _WALK_FACTOR * len(rows):
                self._scratch[column.rows] += column.scores
                walk.touched.append(column.rows)
            else:
                at = np.minimum(np.searchsorted(column.rows, rows), len(column.rows) - 1)
                looked_up += np.where(column.rows[at] == rows, column.scores[at], np.float32(0.0))
        scores: Scores = self._scratch[rows] + looked_up
        return scores

    def _reset(self, touched: list[Rows]) -> None:
        if sum(map(len, touched)) > len(self._scratch) // 8:
            self._scratch.fill(0.0)
        else:
            for rows in touched:
                self._scratch[rows] = 0.0

    def _may_skip(self, column: _Column, walk: _Walk, limit: int) -> bool:
        if len(column.rows) < _LONG_COLUMN:
            return False
        common = len(column.rows) > _COMMON_SHARE * self.size
        return common or walk.settled(self._scratch, limit)

    def _row_numbers(self, slots: Slots) -> tuple[Rows, NDArray[np.bool_]]:
        """Return the row of each slot (0 where there is none) and whether it has one."""
        if not len(self._slots):
            return np.zeros(len(slots), dtype=np.int32), np.zeros(len(slots), dtype=np.bool_)
        rows = np.minimum(np.searchsorted(self._slots, slots), len(self._slots) - 1)
        return rows.astype(np.int32), self._slots[rows] == slots


def _least(scores: Scores, limit: int) -> float:
    return float(np.partition(scores, -limit)[-limit])


def _no_slots() -> Slots:
    return np.empty(0, dtype=np.int64)


def _no_scores() -> Scores:
    return np.empty(0, dtype=np.float32)
