"""Which slot a new passage gets: one that a removed passage left, else the next one of its collection.

Slots are given again, or a collection whose passages come and go would grow for ever. A slot that a batch
frees is given from the next batch on: by then no search can meet the passage that had it.
"""

import sqlite3

SLOT_BITS = 40


def row_of(number: int, slot: int) -> int:
    """Return the row of a slot of the collection with that number."""
    return (number << SLOT_BITS) | slot


def slot_of(row: int) -> int:
    """Return the slot that a row stands for."""
    return row & ((1 << SLOT_BITS) - 1)


def span_of(number: int) -> tuple[int, int]:
    """Return the first row of a collection and the first one behind it."""
    return row_of(number, 0), row_of(number + 1, 0)


class Allotment:
    """Slots of every collection in one file; what it changes is part of its caller's transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._write = connection
        self._next: dict[int, int] = {}
        self._free: dict[int, list[int]] = {}
        self._freed: list[tuple[int, int]] = []

    def begin(self) -> None:
        """Let the slots that the batch before freed be given: it was applied to the indexes."""
        for number, slot in self._freed:
            if number in self._free:
                self._free[number].append(slot)
        self._freed.clear()

    def take(self, number: int) -> int:
        """Return a slot for a new passage of a collection."""
        free = self._free_of(number)
        if free:
            slot = free.pop()
            self._write.execute("DELETE FROM removed WHERE row = ?", (row_of(number, slot),))
            return slot
        slot = self._next_of(number)
        self._next[number] = slot + 1
        return slot

    def release(self, number: int, slot: int, sequence: int) -> None:
        """Take back the slot of a passage that the stream removed at ``sequence``."""
        self._write.execute(
            "INSERT OR REPLACE INTO removed (row, sequence) VALUES (?, ?)",
            (row_of(number, slot), sequence),
        )
        self._freed.append((number, slot))

    def forget(self) -> None:
        """Read everything anew: the transaction was rolled back, or the file's content is another one."""
        self._next.clear()
        self._free.clear()
        self._freed.clear()

    def _free_of(self, number: int) -> list[int]:
        free = self._free.get(number)
        if free is None:
            rows = self._write.execute(
                "SELECT row FROM removed WHERE row >= ? AND row < ? ORDER BY row DESC",
                span_of(number),
            )
            late = {slot for of, slot in self._freed if of == number}
            free = [slot for (row,) in rows if (slot := slot_of(row)) not in late]
            self._free[number] = free
        return free

    def _next_of(self, number: int) -> int:
        known = self._next.get(number)
        if known is not None:
            return known
        last = self._write.execute(
            "SELECT max(row) FROM (SELECT max(row) AS row FROM passage WHERE row >= ? AND row < ?"
            " UNION ALL SELECT max(row) FROM removed WHERE row >= ? AND row < ?)",
            (*span_of(number), *span_of(number)),
        ).fetchone()[0]
        return 0 if last is None else slot_of(last) + 1
