"""One query's way through the columns of one segment: what is walked, what is only looked up, what is left out.

Columns are walked rarest first, in the manner of MaxScore (Turtle and Flood, 1995): a column that cannot
lift a new passage into the result is only looked up for the passages already met. So is, once there
are enough of these, a column that the caller says is common: a passage that shares nothing but such words
with the query is no candidate. Of a long column only the postings are walked that can still reach the result.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.retriever.words.columns import Rows, Values

Scores = NDArray[np.float32]

LONG_COLUMN = 1024
"""Postings from which it pays to ask whether a column must be walked at all."""

_SPREAD_FACTOR = 8
"""A binary search in a column costs about as much as writing down that many of its postings."""

_BLOCKS = 8
"""Blocks per wanted passage whose greatest scores stand for all scores."""

_ROUNDING = 1.0001
"""Bounds are a little more than the sum, so that rounding never cuts off an equal."""


@dataclass(frozen=True, slots=True)
class Column:
    """A term of the query in one segment."""

    rows: Rows
    """Passages, ascending."""
    values: Values
    """Of the term in each."""
    weight: np.float32
    """Of the term in the query, > 0."""
    upper: float
    """Greatest score that it gives."""
    common: bool
    """Whether it finds nothing by itself once others found enough."""
    champions: Rows | None
    """Passages of greatest values, when it is long."""
    dense: Values | None
    """Value of every passage of the segment, when it stands in most."""

    def at(self, rows: Rows) -> Scores:
        """Return the scores of this term for some rows; 0 where it does not occur."""
        if self.dense is not None:
            return self.weight * self.dense[rows]
        at = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        return np.where(self.rows[at] == rows, self.weight * self.values[at], np.float32(0.0))

    def spread(self, rows: Rows, spare: Scores) -> Scores:
        """Return the same for many rows; ``spare`` is a row of zeros, and is one again afterwards."""
        if self.dense is not None or len(self.rows) > _SPREAD_FACTOR * len(rows):
            return self.at(rows)
        spare[self.rows] = self.values
        found: Scores = self.weight * spare[rows]
        spare[self.rows] = 0.0
        return found

    def reaching(self, least: float) -> tuple[Rows, Values]:
        """Return the postings whose score is at least ``least``."""
        if least <= 0.0:
            return self.rows, self.values
        at = np.flatnonzero(self.values >= np.float32(least / _ROUNDING) / self.weight)
        return self.rows[at], self.values[at]


class Walk:
    """What was met so far; the scores stand in the segment's scratch row."""

    def __init__(self, columns: list[Column], floor: float, *, enough: bool) -> None:
        """``columns`` by descending upper bound."""
        self.rest = columns
        """Columns not walked."""
        self.floor = floor
        """What a passage must reach to come out."""
        self.enough = enough
        """Whether as many passages as are wanted were met, here or in other segments."""
        self.touched: list[Rows] = []
        """Rows of the scratch that are not 0 any more."""
        self.count = 0
        """Rows met that may come out."""
        self._seen: list[Rows] = [np.empty(0, dtype=np.int32)]
        self._total = sum(column.upper for column in columns)

    def next(self) -> tuple[Rows, Values]:
        """Return the postings of the next column that all the others together can lift to the floor."""
        column = self.rest[0]
        return column.reaching(self.floor - _ROUNDING * (self._total - column.upper))

    def add(self, touched: Rows, seen: Rows) -> None:
        """Account for the next column: the rows it met first, and those of them that may come out."""
        self.rest = self.rest[1:]
        self.touched.append(touched)
        self._seen.append(seen)
        self.count += len(seen)

    def ends(self, scratch: Scores, limit: int) -> bool:
        """Whether no row that only the columns to come hold has to come out."""
        if not self.rest:
            return True
        column = self.rest[0]
        if self.floor > _most(self.rest) or (column.common and self.enough):
            return True
        if self.count < limit or len(column.rows) < LONG_COLUMN:
            return False
        met = scratch[np.concatenate(self._seen)]
        return column.common or _at_least(met, limit) > _most(self.rest)

    def best(self, scratch: Scores, spare: Scores, limit: int) -> tuple[Rows, Scores]:
        """Return the rows that are the best ``limit``, and their equals, with full scores.

        After each column those are left out that the columns to come cannot lift into the result.
        """
        rows = np.concatenate(self._seen)
        rows, scores = self._hopeful(rows, scratch[rows], limit, self.rest)
        if self.rest:
            order = np.argsort(
                rows, kind="stable"
            )  # of few runs; neighbours lie together in columns
            rows, scores = rows[order], scores[order]
        for number, column in enumerate(self.rest, 1):
            scores = scores + column.spread(rows, spare)
            rows, scores = self._hopeful(rows, scores, limit, self.rest[number:])
        if len(rows) > limit:
            kept = np.flatnonzero(scores >= least_of(scores, limit))
            rows, scores = rows[kept], scores[kept]
        return rows, scores

    def _hopeful(
        self, rows: Rows, scores: Scores, limit: int, to_come: list[Column]
    ) -> tuple[Rows, Scores]:
        most = _most(to_come)
        if self.floor > most:
            kept = np.flatnonzero(scores >= np.float32(self.floor / _ROUNDING - most))
            rows, scores = rows[kept], scores[kept]
        if len(rows) > limit and (least := _at_least(scores, limit)) > most:
            kept = np.flatnonzero(scores >= np.float32(least - most))
            rows, scores = rows[kept], scores[kept]
        return rows, scores


def looked_up(columns: list[Column], rows: Rows) -> Scores:
    """Return the full scores of some rows."""
    scores: Scores = np.zeros(len(rows), dtype=np.float32)
    for column in columns:
        scores += column.at(rows)
    return scores


def least_of(scores: Scores, limit: int) -> float:
    """Return the least of the ``limit`` greatest of at least as many scores."""
    return float(np.partition(scores, -limit)[-limit])


def _at_least(scores: Scores, limit: int) -> float:
    """Return a score that ``limit`` of at least as many scores reach: about the least that does, soon found."""
    width = len(scores) // (_BLOCKS * limit)
    if width < _BLOCKS:
        return least_of(scores, limit)
    blocks = scores[: _BLOCKS * limit * width].reshape(-1, width)
    return least_of(blocks.max(axis=1), limit)


def _most(columns: list[Column]) -> float:
    return _ROUNDING * sum(column.upper for column in columns)
