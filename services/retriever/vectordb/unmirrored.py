"""What a vector database has yet to hear of one collection: written down in the passage store's own file.

Changes are found by their stream sequence. Removals leave no row behind, so a trigger keeps their keys in the
transaction that removes them: whatever a worker survives, both are there until the database has taken them.
"""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from services.retriever.passages import schema
from services.retriever.passages.store import CollectionRow
from services.retriever.vectordb.database import Entry, Key

_TABLES = """
CREATE TABLE IF NOT EXISTS mirror (
    collection INTEGER PRIMARY KEY, name TEXT NOT NULL, sequence INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS unmirrored_removal (
    number INTEGER PRIMARY KEY, collection INTEGER NOT NULL, tenant TEXT NOT NULL, id TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS unmirrored_of ON unmirrored_removal (collection);
"""


@dataclass(frozen=True, slots=True)
class Pending:
    """The next part of it."""

    entries: list[Entry]
    """Passages to put, oldest change first."""
    gone: list[Key]
    """Passages to remove; none of them is stored any more."""
    sequence: int
    """Every change up to here is known to the database, once this part is."""
    removals: int
    """Number of the last removal of this part."""

    @property
    def empty(self) -> bool:
        """Whether the database knows everything."""
        return not self.entries and not self.removals


class Unmirrored:
    """One collection's changes on their way; used from the store thread."""

    def __init__(self, path: Path, collection: CollectionRow, name: str) -> None:
        """``path`` is the store's file; ``name`` is what the database calls the collection."""
        self._number = collection.number
        self._name = name
        self._file = schema.connect(path)
        self._file.executescript(_TABLES)
        self._file.execute("BEGIN IMMEDIATE")
        if self._known() != name:
            self._begin()
        self._file.execute(
            f"CREATE TRIGGER IF NOT EXISTS mirror_{self._number} AFTER DELETE ON passage"  # noqa: S608 - a number
            f" WHEN old.collection = {self._number} BEGIN"
            " INSERT INTO unmirrored_removal (collection, tenant, id)"
            " VALUES (old.collection, old.tenant, old.id); END"
        )
        self._file.execute("COMMIT")

    def close(self) -> None:
        """Let the file go."""
        self._file.close()

    def end(self) -> None:
        """Keep nothing more of it, and let the file go."""
        _forget(self._file, self._number)
        self._file.close()

    def begin_again(self) -> None:
        """Take it that the database knows nothing: it lost the collection."""
        self._file.execute("BEGIN IMMEDIATE")
        self._begin()
        self._file.execute("COMMIT")

    def known(self) -> int:
        """Return how many of the stored passages the database has taken."""
        found = self._file.execute(
            "SELECT count(*) FROM passage WHERE collection = ? AND sequence <= ?",
            (self._number, self._sequence()),
        ).fetchone()
        return int(found[0])

    def next(self, limit: int) -> Pending:
        """Return the first ``limit`` changes and removals that the database has not taken."""
        after = self._sequence()
        cursor = self._file.execute(
            "SELECT p.tenant, p.id, p.sequence, v.vector FROM passage p JOIN vectors v ON v.row = p.row"
            " WHERE p.collection = ? AND p.sequence > ? ORDER BY p.sequence LIMIT ?",
            (self._number, after, limit),
        )
        entries = [
            Entry(Key(tenant, each), sequence, np.frombuffer(vector, dtype="<f4"))
            for tenant, each, sequence, vector in cursor
        ]
        removals = self._file.execute(
            "SELECT r.number, r.tenant, r.id, p.row IS NULL FROM unmirrored_removal r LEFT JOIN passage p"
            " ON p.collection = r.collection AND p.tenant = r.tenant AND p.id = r.id"
            " WHERE r.collection = ? ORDER BY r.number LIMIT ?",
            (self._number, limit),
        ).fetchall()
        return Pending(
            entries,
            [Key(tenant, each) for _, tenant, each, gone in removals if gone],
            entries[-1].sequence if entries else after,
            removals[-1][0] if removals else 0,
        )

    def taken(self, pending: Pending) -> None:
        """Write down that the database took a part."""
        self._file.execute("BEGIN IMMEDIATE")
        self._file.execute(
            "UPDATE mirror SET sequence = ? WHERE collection = ?", (pending.sequence, self._number)
        )
        self._file.execute(
            "DELETE FROM unmirrored_removal WHERE collection = ? AND number <= ?",
            (self._number, pending.removals),
        )
        self._file.execute("COMMIT")

    def _begin(self) -> None:
        self._file.execute(
            "INSERT OR REPLACE INTO mirror (collection, name, sequence) VALUES (?, ?, 0)",
            (self._number, self._name),
        )
        self._file.execute("DELETE FROM unmirrored_removal WHERE collection = ?", (self._number,))

    def _known(self) -> str:
        found = self._file.execute(
            "SELECT name FROM mirror WHERE collection = ?", (self._number,)
        ).fetchone()
        return "" if found is None else str(found[0])

    def _sequence(self) -> int:
        found = self._file.execute(
            "SELECT sequence FROM mirror WHERE collection = ?", (self._number,)
        ).fetchone()
        return int(found[0])


def stop_mirroring(path: Path, collection: CollectionRow) -> str:
    """Keep no more removals of a collection: its vectors live in memory from now on.

    Returns what the database calls it; empty when it never was there.
    """
    file = schema.connect(path)
    try:
        if not file.execute("SELECT 1 FROM sqlite_master WHERE name = 'mirror'").fetchone():
            return ""
        found = file.execute(
            "SELECT name FROM mirror WHERE collection = ?", (collection.number,)
        ).fetchone()
        _forget(file, collection.number)
        return "" if found is None else str(found[0])
    finally:
        file.close()


def _forget(file: sqlite3.Connection, number: int) -> None:
    file.execute(f"DROP TRIGGER IF EXISTS mirror_{number}")
    file.execute("DELETE FROM mirror WHERE collection = ?", (number,))
    file.execute("DELETE FROM unmirrored_removal WHERE collection = ?", (number,))
