"""The passages of one worker on disk: SQLite, one file, every batch one transaction with its sequence.

What is written here can always be replayed from the stream, so a commit need not wait for the disk
(``synchronous=NORMAL``): after a power cut the last batches are missing together with their sequence,
and are read again. Two connections: one writes from the store thread, one reads from the search thread.
"""

import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.retriever.passages import schema
from services.retriever.passages.allotment import Allotment, row_of, slot_of, span_of
from services.retriever.passages.passage import Passage, Removal
from services.retriever.passages.schema import UnusableStore
from trimtab.contracts.retrieve import Hit
from trimtab.contracts.sparse import SparseSpace

FILE = "passages.db"
_UPSERT = """
INSERT INTO passage (row, collection, tenant, id, article, sequence, content_hash, hit)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (row) DO UPDATE SET article = excluded.article, sequence = excluded.sequence,
    content_hash = excluded.content_hash, hit = excluded.hit
"""


@dataclass(frozen=True, slots=True)
class CollectionRow:
    """What is fixed for a collection by its first passage."""

    number: int
    """Its number in the file."""
    name: str
    """Its name."""
    namespace: str
    """Space of its vectors."""
    component: str
    """Encoder component of its first passage."""
    dimension: int
    """Of its vectors."""
    token_dimension: int
    """Of its token vectors; 0 when its first passage had none."""
    sparse: SparseSpace | None = None
    """Of its learned sparse vectors; None before the first."""


@dataclass(frozen=True, slots=True)
class StoredPassage:
    """A passage and its slot: its row number in every index of its collection."""

    slot: int
    """>= 0; stays the same when the passage is replaced, and is given to another one after its removal."""
    sequence: int
    """Stream sequence of its content."""
    hit: Hit
    """What a search returns."""
    vector: NDArray[np.float32]
    """(dimension,) of unit length."""
    tokens: bytes
    """Token vectors, row-major int8; empty without."""
    sparse: bytes = b""
    """Learned sparse vector, :func:`passage.packed`; empty without."""


@dataclass(slots=True)
class Applied:
    """What a batch changed in one collection; no slot stands in both."""

    changed: dict[int, StoredPassage] = field(default_factory=dict)
    """Passages that are new or have new content, by slot."""
    removed: set[int] = field(default_factory=set)
    """Slots whose passage is gone."""


class Store:
    """Passages by collection and slot."""

    def __init__(self, path: Path) -> None:
        """Open or make the file.

        Raises:
            UnusableStore: it is no SQLite file of our schema.
        """
        self.path = path
        self._hits = msgspec.msgpack.Decoder(Hit)
        try:
            self._write = schema.connect(path)
            if schema.prepare(self._write, path.name):
                self._set_meta("store", secrets.token_hex(8))
            self._read = schema.connect(path)
            self._slots = Allotment(self._write)
        except sqlite3.DatabaseError as error:
            raise UnusableStore(f"{path.name}: {type(error).__name__}") from error

    def close(self) -> None:
        """Fold the write-ahead log into the file and close it."""
        self._read.close()
        self.flush()
        self._write.close()

    def read_id(self) -> str:
        """Return the random name of this file's content: slots under another name mean other passages."""
        return self._meta("store") or ""

    def read_sequence(self) -> int:
        """Return the last stream sequence applied; 0 before the first."""
        return int(self._meta("sequence") or 0)

    def read_stream(self) -> str:
        """Return the identity of the stream that was applied; empty before the first."""
        return self._meta("stream") or ""

    def begin_stream(self, identity: str) -> None:
        """Forget everything and start over at sequence 0 of the stream ``identity``."""
        with self._transaction():
            for table in ("passage", "vectors", "removed", "collection", "meta"):
                self._write.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
            self._set_meta("store", secrets.token_hex(8))
            self._set_meta("stream", identity)
        self._slots.forget()

    def collections(self) -> list[CollectionRow]:
        """Return every collection, by name."""
        rows = self._write.execute(
            "SELECT number, name, namespace, component, dimension, token_dimension,"
            " sparse FROM collection ORDER BY name"
        )
        return [
            CollectionRow(number, name, namespace, component, dimension, tokens, _space(sparse))
            for number, name, namespace, component, dimension, tokens, sparse in rows
        ]

    def add_collection(
        self, name: str, namespace: str, component: str, dimension: int, token_dimension: int
    ) -> CollectionRow:
        """Make an empty collection and return it."""
        with self._transaction():
            cursor = self._write.execute(
                "INSERT INTO collection (name, namespace, component, dimension, token_dimension)"
                " VALUES (?, ?, ?, ?, ?)",
                (name, namespace, component, dimension, token_dimension),
            )
        number = cursor.lastrowid or 0
        return CollectionRow(number, name, namespace, component, dimension, token_dimension)

    def set_token_dimension(self, collection: CollectionRow, dimension: int) -> CollectionRow:
        """Fix the dimension of token vectors that the first passages came without."""
        self._write.execute(
            "UPDATE collection SET token_dimension = ? WHERE number = ?",
            (dimension, collection.number),
        )
        return replace(collection, token_dimension=dimension)

    def set_sparse(self, collection: CollectionRow, space: SparseSpace) -> CollectionRow:
        """Fix the space of the learned sparse vectors."""
        self._write.execute(
            "UPDATE collection SET sparse = ? WHERE number = ?",
            (msgspec.json.encode(space).decode(), collection.number),
        )
        return replace(collection, sparse=space)

    def apply(
        self, changes: Iterable[tuple[CollectionRow, Passage | Removal]], sequence: int
    ) -> dict[str, Applied]:
        """Write one batch and its last sequence in one transaction; the batch before is in the indexes by now.

        Returns what changed, by collection: neither passages whose content hash is already stored nor
        removals of what is not there. A passage that comes twice counts once, as it is at the end.
        """
        applied: dict[str, Applied] = {}
        self._slots.begin()
        with self._transaction():
            for collection, change in changes:
                of = applied.setdefault(collection.name, Applied())
                if isinstance(change, Passage):
                    self._put(collection, change, of)
                else:
                    self._remove(collection, change, of)
            self._set_meta("sequence", str(sequence))
        return {name: of for name, of in applied.items() if of.changed or of.removed}

    def load(self, collection: CollectionRow, rows: Sequence[StoredPassage]) -> None:
        """Write many new passages at the slots given, without a stream: bulk loads of benchmarks.

        They are not in the stream, so they are gone when the store is replayed from it. Index files saved
        before are of another content from now on.
        """
        with self._transaction():
            for stored in rows:
                self._insert(collection.number, stored, f"bulk-{stored.slot}")
            self._set_meta("store", secrets.token_hex(8))
        self._slots.forget()

    def flush(self) -> None:
        """Make every commit survive a power cut: before an index file that builds on them is kept."""
        self._write.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def count(self, collection: CollectionRow) -> int:
        """Return how many passages a collection holds."""
        found = self._write.execute(
            "SELECT count(*) FROM passage WHERE collection = ?", (collection.number,)
        ).fetchone()
        return int(found[0])

    def passages(self, collection: CollectionRow) -> Iterator[StoredPassage]:
        """Yield the passages of a collection by ascending slot."""
        cursor = self._write.execute(
            "SELECT p.row, p.sequence, p.hit, v.vector, v.tokens, v.sparse FROM passage p"
            " JOIN vectors v ON v.row = p.row WHERE p.row >= ? AND p.row < ? ORDER BY p.row",
            span_of(collection.number),
        )
        for row, sequence, hit, vector, tokens, sparse in cursor:
            yield StoredPassage(
                slot_of(row),
                sequence,
                self._hits.decode(hit),
                np.frombuffer(vector, dtype="<f4"),
                tokens,
                sparse,
            )

    def changed_since(self, collection: CollectionRow, sequence: int) -> NDArray[np.int64]:
        """Return the slots whose passages changed or were removed after a sequence, ascending."""
        after = (*span_of(collection.number), sequence)
        cursor = self._write.execute(
            "SELECT row FROM passage WHERE row >= ? AND row < ? AND sequence > ?"
            " UNION SELECT row FROM removed WHERE row >= ? AND row < ? AND sequence > ? ORDER BY row",
            (*after, *after),
        )
        return np.array([slot_of(row) for (row,) in cursor], dtype=np.int64)

    def hits(self, collection: CollectionRow, slots: Sequence[int]) -> list[Hit | None]:
        """Return what a search returns for each slot, in order; None for a passage that was just removed."""
        rows = [row_of(collection.number, slot) for slot in slots]
        marks = ",".join("?" * len(rows))
        query = f"SELECT row, hit FROM passage WHERE row IN ({marks})"  # noqa: S608 - only marks
        found = dict(self._read.execute(query, rows))
        return [self._hits.decode(found[row]) if row in found else None for row in rows]

    def ids_of(
        self, collection: CollectionRow, articles: Sequence[str], tenant: str, limit: int
    ) -> list[str]:
        """Return the ids of at most ``limit`` passages of these articles that ``tenant`` itself owns."""
        marks = ",".join("?" * len(articles))
        query = (
            "SELECT id FROM passage WHERE collection = ? AND tenant = ?"  # noqa: S608 - only marks
            f" AND article IN ({marks}) ORDER BY id LIMIT ?"
        )
        cursor = self._write.execute(query, (collection.number, tenant, *articles, limit))
        return [str(name) for (name,) in cursor]

    def slots_of(
        self, collection: CollectionRow, ids: Sequence[str], tenants: Sequence[str]
    ) -> NDArray[np.int64]:
        """Return the slots of the passages with these ids that one of ``tenants`` owns, ascending."""
        owners, names = ",".join("?" * len(tenants)), ",".join("?" * len(ids))
        query = (
            "SELECT row FROM passage WHERE collection = ? AND tenant IN"  # noqa: S608 - only marks
            f" ({owners}) AND id IN ({names}) ORDER BY row"
        )
        cursor = self._read.execute(query, (collection.number, *tenants, *ids))
        return np.array([slot_of(row) for (row,) in cursor], dtype=np.int64)

    def _put(self, collection: CollectionRow, passage: Passage, of: Applied) -> None:
        found = self._find(collection, passage.hit.tenant, passage.hit.id)
        if found is not None and found[1] == passage.content_hash:
            return
        slot = self._slots.take(collection.number) if found is None else slot_of(found[0])
        stored = StoredPassage(
            slot, passage.sequence, passage.hit, passage.vector, passage.tokens, passage.sparse
        )
        self._insert(collection.number, stored, passage.content_hash)
        of.changed[slot] = stored

    def _remove(self, collection: CollectionRow, removal: Removal, of: Applied) -> None:
        found = self._find(collection, removal.tenant, removal.id)
        if found is None:
            return
        row, slot = found[0], slot_of(found[0])
        for table in ("passage", "vectors"):
            self._write.execute(f"DELETE FROM {table} WHERE row = ?", (row,))  # noqa: S608 - our own names
        self._slots.release(collection.number, slot, removal.sequence)
        of.changed.pop(slot, None)
        of.removed.add(slot)

    def _find(self, collection: CollectionRow, tenant: str, name: str) -> tuple[int, str] | None:
        found: tuple[int, str] | None = self._write.execute(
            "SELECT row, content_hash FROM passage WHERE collection = ? AND tenant = ? AND id = ?",
            (collection.number, tenant, name),
        ).fetchone()
        return found

    def _insert(self, number: int, stored: StoredPassage, content_hash: str) -> None:
        row, hit = row_of(number, stored.slot), stored.hit
        encoded = msgspec.msgpack.encode(hit)
        self._write.execute(
            _UPSERT,
            (row, number, hit.tenant, hit.id, hit.article, stored.sequence, content_hash, encoded),
        )
        self._write.execute(
            "INSERT OR REPLACE INTO vectors (row, vector, tokens, sparse) VALUES (?, ?, ?, ?)",
            (row, stored.vector.astype("<f4").tobytes(), stored.tokens, stored.sparse),
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._write.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._write.execute("ROLLBACK")
            self._slots.forget()
            raise
        self._write.execute("COMMIT")

    def _meta(self, key: str) -> str | None:
        found = self._write.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if found is None else str(found[0])

    def _set_meta(self, key: str, value: str) -> None:
        self._write.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))


def _space(stored: str) -> SparseSpace | None:
    return msgspec.json.decode(stored, type=SparseSpace) if stored else None
