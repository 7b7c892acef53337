"""One segment of passages: columns that never change, and which of its passages were taken out since."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.retriever.passages.visibility import VisibleSet
from services.retriever.words.columns import Columns, Rows, TermIds, Values
from services.retriever.words.walk import LONG_COLUMN, Column, Scores, Walk, least_of, looked_up

Slots = NDArray[np.int64]

_LARGE = 1 << 14
"""Postings that are many: what is kept beside a long column pays from there on."""

_CHAMPIONS = 64
"""Passages of greatest value that are known of each long column."""

_DENSE_SHARE = 0.25
"""A long column of more than that share of all passages is kept as a row too: looking up is one read."""


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
    champions: dict[int, Rows]
    """Of each long column, by its number: the rows of greatest values."""
    dense: dict[int, Values]
    """Of each long column that many passages stand in: the value of every row, 0 where it has none."""

    @classmethod
    def of(
        cls, slots: Slots, lengths: NDArray[np.int32], columns: Columns, mean: float
    ) -> "Segment":
        """Return a segment with what makes searches in long columns fast; takes long when there are many."""
        champions, dense = {}, {}
        for number in np.flatnonzero(columns.held_by >= _LARGE).tolist():
            run = slice(columns.pointers[number], columns.pointers[number + 1])
            rows, values = columns.rows[run], columns.values[run]
            champions[number] = rows[np.argpartition(-values, _CHAMPIONS)[:_CHAMPIONS]]
            if len(rows) > _DENSE_SHARE * len(slots):
                dense[number] = np.zeros(len(slots), dtype=np.float32)
                dense[number][rows] = values
        return cls(slots, lengths, columns, mean, champions, dense)


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


class LiveSegment:
    """A segment and its scratch row, in which the rows that are gone stand at minus infinity.

    A row at 0 was not met yet: so those that are gone are never met. Used from one thread.
    """

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.gone = 0
        """Passages taken out."""
        self._scratch = np.zeros(len(segment.slots), dtype=np.float32)
        self._spare = np.zeros(len(segment.slots), dtype=np.float32)
        self._buried: list[Rows] = []

    @property
    def size(self) -> int:
        """Passages left."""
        return len(self.segment.slots) - self.gone

    @property
    def left(self) -> NDArray[np.bool_]:
        """(n,) which passages are left."""
        left: NDArray[np.bool_] = self._scratch == 0.0
        return left

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

        Passages below ``floor`` need not come out: above 0, it says that other segments have ``limit`` that
        reach it.
        """
        columns = self._columns(wanted)
        if not columns:
            return None
        other_scores = self._looked_up(columns, others)
        reached = max(floor, self._reached(columns, limit, visible))
        walk = Walk(columns, reached, enough=floor > 0)
        self._walk(walk, limit, visible)
        found, scores = walk.best(self._scratch, self._spare, limit)
        self._reset(walk.touched)
        order = np.lexsort((found, -scores))[:limit]
        return Matches(self.segment.slots[found[order]], scores[order], other_scores)

    def scores(self, wanted: Wanted, slots: Slots) -> Scores:
        """Return the score of each slot; 0 where it is not here, or holds no term."""
        return self._looked_up(self._columns(wanted), slots)

    def _looked_up(self, columns: list[Column], slots: Slots) -> Scores:
        rows, there = self._rows_of(slots)
        scores: Scores = np.zeros(len(slots), dtype=np.float32)
        if there.any():
            scores[there] = looked_up(columns, rows[there])
        return scores

    def _columns(self, wanted: Wanted) -> list[Column]:
        kept = self.segment.columns
        if not len(kept.terms):
            return []
        at = np.minimum(np.searchsorted(kept.terms, wanted.terms), len(kept.terms) - 1)
        columns = [
            self._column(int(at[number]), wanted.weights[number], bool(wanted.common[number]))
            for number in np.flatnonzero(kept.terms[at] == wanted.terms).tolist()
        ]
        columns.sort(key=lambda column: -column.upper)
        return columns

    def _column(self, number: int, weight: np.float32, common: bool) -> Column:
        segment, kept = self.segment, self.segment.columns
        run = slice(kept.pointers[number], kept.pointers[number + 1])
        return Column(
            rows=kept.rows[run],
            values=kept.values[run],
            weight=weight,
            upper=float(weight) * float(kept.greatest[number]),
            common=common,
            champions=segment.champions.get(number),
            dense=segment.dense.get(number),
        )

    def _reached(self, columns: list[Column], limit: int, visible: VisibleSet) -> float:
        """Return a score that ``limit`` visible passages reach, from those of greatest value of each term.

        0 when one of the columns is short: it is walked in less time than that takes.
        """
        champions = [column.champions for column in columns if column.champions is not None]
        if len(champions) < len(columns):
            return 0.0
        rows = np.unique(np.concatenate(champions))
        rows = rows[(self._scratch[rows] == 0.0) & visible.contains(self.segment.slots[rows])]
        return least_of(looked_up(columns, rows), limit) if len(rows) >= limit else 0.0

    def _walk(self, walk: Walk, limit: int, visible: VisibleSet) -> None:
        """Add up columns, rarest first, until no other passage can, or should, come in."""
        scratch = self._scratch
        while not walk.ends(scratch, limit):
            column = walk.rest[0]
            rows, values = walk.next()
            known = scratch[rows]
            fresh = rows[known == 0.0]
            scratch[rows] = known + column.weight * values
            seen = fresh
            if visible.everything:
                met = len(column.rows) - self.gone
                walk.enough = walk.enough or met >= max(limit, LONG_COLUMN)
            else:
                seen = fresh[visible.contains(self.segment.slots[fresh])]
            walk.add(fresh, seen)

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
