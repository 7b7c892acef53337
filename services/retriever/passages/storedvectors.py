"""The vectors of a collection read from the passage store when they are asked for: none stay in memory.

For a collection that a vector database searches: what needs the vectors of a few slots finds them here. One
read connection of its own, used from the search thread.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from services.retriever.dense.index import Nearest, Slots, Vectors
from services.retriever.passages import schema
from services.retriever.passages.allotment import row_of, slot_of
from services.retriever.passages.visibility import VisibleSet
from services.retriever.vectordb.database import Key

T = TypeVar("T")

_PART = 500
"""Values of one query."""


class StoredVectors:
    """Vectors, token vectors and slots of one collection, from the disk."""

    def __init__(self, path: Path, number: int, dimension: int) -> None:
        """``path`` is the store's file, made before; ``number`` is the collection's in it."""
        self.dimension = dimension
        self._number = number
        self._read = schema.connect(path)
        self.size = 0
        """Slots, those of removed passages included."""

    def close(self) -> None:
        """Let the file go."""
        self._read.close()

    def put(self, slots: Slots, _vectors: Vectors) -> None:
        """Learn which slots there are; the store has their vectors already."""
        self.size = max(self.size, int(slots.max(initial=-1)) + 1)

    def remove(self, _slots: Slots) -> None:
        """Do nothing: the store has forgotten them already."""

    def vectors(self, slots: Slots) -> Vectors:
        """Return the vectors at ``slots``: (n, dimension) f32; zeros where nothing is stored."""
        found = self._column("vector", slots)
        nothing = bytes(4 * self.dimension)
        raw = b"".join([found.get(slot, nothing) for slot in slots.tolist()])
        return np.frombuffer(raw, dtype="<f4").reshape(len(slots), self.dimension)

    def tokens(self, slots: Slots) -> list[bytes]:
        """Return the token vectors at ``slots``; empty where none are stored."""
        found = self._column("tokens", slots)
        return [found.get(slot, b"") for slot in slots.tolist()]

    def search(self, query: Vectors, limit: int, visible: VisibleSet) -> Nearest:
        """Return the true ``limit`` nearest visible slots, from every visible vector on disk: exact and slow."""
        slots, cosines = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        for part in _parts(visible.slots().tolist()):
            at = np.array(part, dtype=np.int64)
            slots = np.concatenate([slots, at])
            cosines = np.concatenate([cosines, self.vectors(at) @ query])
            best = np.argsort(-cosines, kind="stable")[:limit]
            slots, cosines = slots[best], cosines[best]
        return Nearest(slots, cosines)

    def slots_of(self, keys: Sequence[Key]) -> dict[Key, int]:
        """Return the slot of each passage that is stored."""
        found: dict[Key, int] = {}
        for tenant in {key.tenant for key in keys}:
            for part in _parts([key.id for key in keys if key.tenant == tenant]):
                query = (
                    "SELECT id, row FROM passage WHERE collection = ? AND tenant = ?"  # noqa: S608 - only marks
                    f" AND id IN ({_marks(part)})"
                )
                for each, row in self._read.execute(query, (self._number, tenant, *part)):
                    found[Key(tenant, each)] = slot_of(row)
        return found

    def _column(self, column: str, slots: Slots) -> dict[int, bytes]:
        found: dict[int, bytes] = {}
        for part in _parts([row_of(self._number, slot) for slot in slots.tolist()]):
            query = f"SELECT row, {column} FROM vectors WHERE row IN ({_marks(part)})"  # noqa: S608 - our own names
            found.update((slot_of(row), value) for row, value in self._read.execute(query, part))
        return found


def _parts(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), _PART):
        yield values[start : start + _PART]


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))
