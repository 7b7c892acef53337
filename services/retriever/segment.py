"""One segment of passages: columns that never change, and which of its passages were taken out since.

Columns are walked rarest first, in the manner of MaxScore (Turtle and Flood, 1995): a column that cannot
lift a new passage into the result is only looked up for the passages already met. So is, once there
are enough of these, a column that the caller says is common: a passage that shares nothing but such words
with the query is no candidate. Scores that come out are exact sums.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.retriever.columns import Columns, Rows, TermIds, Values
from services.retriever.visibility import VisibleSet

Slots = NDArray[np.int64]
Scores = NDArray[np.float32]

_LONG_COLUMN = 1024
"""Postings from which it pays to ask whether a column must be walked at all."""

_ROUNDING = 1.0001
"""Bounds are a little more than the sum, so that rounding never cuts off an equal."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Passages as they were when the segment was made."""

    slots: Slots
    """(n,) ascending."""
    lengths: NDArray[np.int32]
    """(n,) terms of each passage, repeats counted."""
    columns: Columns
    """Passage ``i`` is at ``slots[i]``."""
    mean: float
    """Mean length that the values were computed for."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a query asks of each segment."""

    terms: TermIds
    """(t,) distinct ids, in any order."""
    weights: Values
    """(t,) > 0: a passage's score is the sum of ``weight * value``."""
    common: NDArray[np.bool_]
    """(t,) terms that find nothing by themselves once others found enough."""


@dataclass(frozen=True, slots=True)
class Matches:
    """What a query's terms find."""

    slots: Slots
    """(n,) best slots, best first; every one holds at least one term."""
    scores: Scores
    """(n,) their scores, > 0."""
    others: Scores
    """(m,) scores of the slots that were asked about; 0 where no term occurs."""


@dataclass(frozen=True, slots=True)
class _Column:
    rows: Rows
    values: Values
    weight: np.float32
    upper: float
    common: bool

    def at(self, rows: Rows) -> Scores:
        """Return the scores of this term for some rows; 0 where it does not occur."""
        at = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        return np.where(self.rows[at] == rows, self.weight * self.values[at], np.float32(0.0))


class _Walk:
    """What was met so far; the scores stand in the segment's scratch row."""

    def __init__(self, columns: list[_Column], floor: float) -> None:
        self.rest = columns
        """Columns not walked, by descending upper bound."""
        self.touched: list[Rows] = []
        """Rows of the scratch that are not 0 any more."""
        self.count = 0
        """Rows met that may come out."""
        self.floor = floor
        """What other segments' best ``limit`` reach at least; 0 when they have not as many."""
        self._seen: list[Rows] = [np.empty(0, dtype=np.int32)]

    @property
    def seen(self) -> Rows:
        """Rows met that may come out."""
        return np.concatenate(self._seen)

    @property
    def still_to_come(self) -> float:
        """The most that the columns not walked can add."""
        return _ROUNDING * sum(column.upper for column in self.rest)

    def add(self, touched: Rows, seen: Rows) -> None:
        """Account for the next column: the rows it met first, and those of them that may come out."""
        self.rest = self.rest[1:]
        self.touched.append(touched)
        self._seen.append(seen)
        self.count += len(seen)

    def may_skip(self, scratch: Scores, limit: int) -> bool:
        """Whether no row that only the next column and those after it hold has to come out."""
        column = self.rest[0]
        if self.count < limit and not self.floor:
            return False
        if len(column.rows) < _LONG_COLUMN and not self.floor:
            return False
        if column.common:
            return True
        least = least_of(scratch[self.seen], limit) if self.count >= limit else 0.0
        return max(least, self.floor) > self.still_to_come


class LiveSegment:
    """A segment and its scratch row, in which the rows that are gone stand at minus infinity.

    A row at 0 was not met yet: so those that are gone are never met. Used from one thread.
    """

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.gone = 0
        """Passages taken out."""
        self._scratch = np.zeros(len(segment.slots), dtype=np.float32)
        self._buried: list[Rows] = []

    @property
    def size(self) -> int:
        """Passages left."""
        return len(self.segment.slots) - self.gone

    @property
    def left(self) -> NDArray[np.bool_]:
        """(n,) which passages are left."""
        return self._scratch == 0.0

    def bury(self, slots: Slots) -> None:
        """Take passages out; slots that it does not hold, or no longer, change nothing."""
        rows, there = self._rows_of(slots)
        rows = np.unique(rows[there])
        if len(rows):
            self.gone += len(rows)
            self._buried.append(rows)
            self._scratch[rows] = -np.inf

    def search(
        self, wanted: Wanted, limit: int, visible: VisibleSet, others: Slots, floor: float
    ) -> Matches | None:
        """Return the ``limit`` best visible passages and the scores of ``others``; None without any.

        Passages that do not reach ``floor`` need not come out.
        """
        columns = self._columns(wanted)
        if not columns:
            return None
        rows, asked = self._rows_of(others)
        walk = self._walk(columns, limit, visible, floor)
        found, scores = self._best(walk, limit)
        other_scores = np.zeros(len(others), dtype=np.float32)
        if asked.any():
            other_scores[asked] = self._complete(walk, rows[asked])
        self._reset(walk.touched)
        order = np.lexsort((found, -scores))[:limit]
        return Matches(self.segment.slots[found[order]], scores[order], other_scores)

    def _columns(self, wanted: Wanted) -> list[_Column]:
        kept = self.segment.columns
        if not len(kept.terms):
            return []
        at = np.minimum(np.searchsorted(kept.terms, wanted.terms), len(kept.terms) - 1)
        columns = []
        for number in np.flatnonzero(kept.terms[at] == wanted.terms).tolist():
            column, weight = at[number], wanted.weights[number]
            run = slice(kept.pointers[column], kept.pointers[column + 1])
            upper = float(weight) * float(kept.greatest[column])
            common = bool(wanted.common[number])
            columns.append(_Column(kept.rows[run], kept.values[run], weight, upper, common))
        columns.sort(key=lambda column: -column.upper)
        return columns

    def _walk(self, columns: list[_Column], limit: int, visible: VisibleSet, floor: float) -> _Walk:
        """Add up columns, rarest first, until no other passage can, or should, come in."""
        walk, scratch = _Walk(columns, floor), self._scratch
        for column in columns:
            if walk.may_skip(scratch, limit):
                break
            known = scratch[column.rows]
            fresh = column.rows[known == 0.0]
            scratch[column.rows] = known + column.weight * column.values
            seen = fresh
            if not visible.everything:
                seen = fresh[visible.contains(self.segment.slots[fresh])]
            walk.add(fresh, seen)
        return walk

    def _best(self, walk: _Walk, limit: int) -> tuple[Rows, Scores]:
        """Return the rows that are among the best ``limit``, and perhaps some more, with full scores.

        After each column those are left out that the columns to come cannot lift into the result.
        """
        rows = walk.seen
        scores = self._scratch[rows]
        rows, scores = _hopeful(rows, scores, limit, walk.floor, walk.still_to_come)
        if walk.rest:
            order = np.argsort(rows)  # neighbours lie together in the columns
            rows, scores = rows[order], scores[order]
        for number, column in enumerate(walk.rest, 1):
            scores = scores + column.at(rows)
            to_come = _ROUNDING * sum(later.upper for later in walk.rest[number:])
            rows, scores = _hopeful(rows, scores, limit, walk.floor, to_come)
        return rows, scores

    def _complete(self, walk: _Walk, rows: Rows) -> Scores:
        scores = self._scratch[rows]
        for column in walk.rest:
            scores = scores + column.at(rows)
        return scores

    def _reset(self, touched: list[Rows]) -> None:
        if sum(map(len, touched)) > len(self._scratch) // 8:
            self._scratch.fill(0.0)
            for rows in self._buried:
                self._scratch[rows] = -np.inf
        else:
            for rows in touched:
                self._scratch[rows] = 0.0

    def _rows_of(self, slots: Slots) -> tuple[Rows, NDArray[np.bool_]]:
        """Return the row of each slot (any where there is none) and whether it has one that is left."""
        held = self.segment.slots
        if not len(held):
            return np.zeros(len(slots), dtype=np.int32), np.zeros(len(slots), dtype=np.bool_)
        rows = np.minimum(np.searchsorted(held, slots), len(held) - 1)
        there = (held[rows] == slots) & (self._scratch[rows] == 0.0)
        return rows.astype(np.int32), there


def _hopeful(
    rows: Rows, scores: Scores, limit: int, floor: float, to_come: float
) -> tuple[Rows, Scores]:
    """Keep the rows that may come among the best ``limit``, if the rest adds at most ``to_come``."""
    least = floor
    if len(rows) > limit:
        least = max(floor, least_of(scores, limit))
    if least <= to_come:
        return rows, scores
    kept = scores + np.float32(to_come) >= least
    return rows[kept], scores[kept]


def least_of(scores: Scores, limit: int) -> float:
    """Return the least of the ``limit`` greatest of at least as many scores."""
    return float(np.partition(scores, -limit)[-limit])
