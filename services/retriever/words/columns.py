"""Postings kept column by column: for each term the passages that hold it, and a value for each. Pure.

What a value is, is the user's: BM25's share of a term in a passage, or the weight of a learned sparse vector.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TermIds = NDArray[np.int64]
Rows = NDArray[np.int32]
Values = NDArray[np.float32]

_BLOCK = 1 << 20
"""Postings merged in one go: some milliseconds, and 50 MB that come and go."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The postings of some passages, which are numbered from 0."""

    terms: TermIds
    """(t,) ids that occur, ascending."""
    pointers: NDArray[np.int64]
    """(t + 1,): the column of ``terms[i]`` is ``[pointers[i] : pointers[i + 1]]`` of the next two."""
    rows: Rows
    """Passage numbers, ascending in each column."""
    values: Values
    """Of that term in that passage, > 0."""
    greatest: Values
    """(t,) greatest value of each column."""

    @classmethod
    def of(
        cls, terms: TermIds, pointers: NDArray[np.int64], rows: Rows, values: Values
    ) -> "Columns":
        """Return columns none of which is empty."""
        greatest = np.maximum.reduceat(values, pointers[:-1]) if len(terms) else values[:0]
        return cls(terms, pointers, rows, values, greatest)

    @property
    def held_by(self) -> NDArray[np.int64]:
        """(t,) passages that hold each term."""
        return np.diff(self.pointers)


def merged(parts: Sequence[tuple[Columns, Rows]], count: int) -> Columns:
    """Return the columns of ``count`` passages out of those of several parts.

    Args:
        parts: columns, and for each of their passages its new number, ascending; -1 leaves it out.
        count: passages afterwards.
    """
    terms = np.unique(np.concatenate([columns.terms for columns, _ in parts]))
    found = [_merged(parts, terms[block], count) for block in _blocks(parts, terms)]
    held_by = np.concatenate([block.held_by for block in found] or [np.empty(0, dtype=np.int64)])
    filled = held_by > 0
    return Columns.of(
        terms[filled],
        np.concatenate(([0], np.cumsum(held_by[filled]))),
        np.concatenate([block.rows for block in found] or [np.empty(0, dtype=np.int32)]),
        np.concatenate([block.values for block in found] or [np.empty(0, dtype=np.float32)]),
    )


@dataclass(frozen=True, slots=True)
class _Block:
    held_by: NDArray[np.int64]
    rows: Rows
    values: Values


def _blocks(parts: Sequence[tuple[Columns, Rows]], terms: TermIds) -> Iterator[slice]:
    """Yield runs of ``terms`` whose postings are about as many as one go takes."""
    sizes = np.zeros(len(terms), dtype=np.int64)
    for columns, _ in parts:
        sizes[np.searchsorted(terms, columns.terms)] += columns.held_by
    ends = np.cumsum(sizes)
    start = 0
    while start < len(terms):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + _BLOCK, side="right")))
        yield slice(start, stop)
        start = stop


def _merged(parts: Sequence[tuple[Columns, Rows]], terms: TermIds, count: int) -> _Block:
    keys, values = [], []
    for columns, numbers in parts:
        first, last = np.searchsorted(columns.terms, (terms[0], terms[-1] + 1))
        run = slice(columns.pointers[first], columns.pointers[last])
        rows = numbers[columns.rows[run]]
        which = np.searchsorted(terms, columns.terms[first:last])
        key = np.repeat(which * count, columns.held_by[first:last])
        key += rows
        kept = rows >= 0
        keys.append(key[kept])
        values.append(columns.values[run][kept])
    joined = np.concatenate(keys)
    order = np.argsort(joined, kind="stable")  # of ascending runs: it merges them, it does not sort
    which, rows = np.divmod(joined[order], count)
    return _Block(
        np.bincount(which, minlength=len(terms)),
        rows.astype(np.int32),
        np.concatenate(values)[order],
    )
