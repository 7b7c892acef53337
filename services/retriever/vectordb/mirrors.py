"""Which collections have their vectors in a vector database, and the mirror of each of them.

Chosen by the collection's name. Either way the passage store holds every vector, so a collection moves by
changing the setting and starting again: into the database it is copied, back in memory it is read from disk.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from services.retriever.lanes import Lanes
from services.retriever.passages.store import CollectionRow
from services.retriever.passages.storedvectors import StoredVectors
from services.retriever.vectordb.database import FarAnswer, Key, Question, VectorDatabase
from services.retriever.vectordb.mirror import NOTHING, Mirror, name_of
from services.retriever.vectordb.unmirrored import Unmirrored, stop_mirroring
from trimtab.contracts.retrieve import PUBLIC_TENANT, DenseOutage, RetrieveRequest
from trimtab.telemetry.logs import Logger

_PATIENCE_S = 10.0
"""Longest time that a start waits for the database; it goes on in the background after that."""

_SHARE = 0.6
"""Of a request's remaining time, what the database may take: words are searched and the reply sent after it."""


@dataclass(frozen=True, slots=True)
class Backend:
    """Where vectors live when not in memory."""

    database: VectorDatabase
    """The only one of a worker."""
    patterns: Mapping[str, str]
    """Collection name or glob -> ``memory`` or ``milvus``; the first that matches decides, else memory."""
    timeout_s: float
    """Longest time of a search there."""

    def holds(self, collection: str) -> bool:
        """Whether the collection's vectors live there."""
        for pattern, backend in self.patterns.items():
            if fnmatchcase(collection, pattern):
                return backend == "milvus"
        return False


class Mirrors:
    """The mirrors of one worker; lives in the event loop."""

    def __init__(self, file: Path, lanes: Lanes, backend: Backend | None, log: Logger) -> None:
        """``file`` is the passage store's; without a ``backend`` every collection lives in memory."""
        self.on_change: Callable[[], None] = lambda: None
        """Called when the database goes away or comes back."""
        self._file = file
        self._lanes = lanes
        self._backend = backend
        self._log = log
        self._of: dict[str, Mirror] = {}
        self._stored: list[StoredVectors] = []

    @property
    def outages(self) -> dict[str, DenseOutage | None]:
        """Why each mirrored collection is searched without vectors, if it is."""
        return {name: mirror.outage for name, mirror in self._of.items()}

    def vectors_of(self, row: CollectionRow) -> StoredVectors | None:
        """Return where a mirrored collection finds vectors of single slots; None for one in memory."""
        if self._backend is None or not self._backend.holds(row.name):
            return None
        stored = StoredVectors(self._file, row.number, row.dimension)
        self._stored.append(stored)
        return stored

    async def begin(self, row: CollectionRow, stream: str) -> None:
        """Keep the database up with a collection that the store holds, if its vectors live there."""
        if row.name in self._of:
            return
        if self._backend is None or not self._backend.holds(row.name):
            await self._moved_out(row)
            return
        name = name_of(row.name, stream)
        unmirrored = await self._lanes.store(Unmirrored, self._file, row, name)
        mirror = Mirror(
            self._backend.database, unmirrored, name, row.dimension, self._lanes, self._log
        )
        mirror.on_change = self._changed
        self._of[row.name] = mirror
        mirror.start()

    async def settle(self) -> None:
        """Return once the database knows every collection, or is found to be away."""
        await asyncio.gather(*(mirror.settle(_PATIENCE_S) for mirror in self._of.values()))

    def changed(self, collection: str) -> None:
        """Learn that the store has something new of a collection."""
        if collection in self._of:
            self._of[collection].changed()

    async def nearest(
        self,
        collection: str,
        request: RetrieveRequest,
        tenant: str,
        depth: int,
        nprobe: int,
        remaining_s: float,
    ) -> FarAnswer:
        """Return what the database finds for a request that was checked; nothing before its mirror began."""
        mirror = self._of.get(collection)
        if mirror is None or self._backend is None:
            return FarAnswer(NOTHING, DenseOutage.BEHIND, 0.0)
        started = time.perf_counter()
        tenants = list(dict.fromkeys((tenant, PUBLIC_TENANT)))
        question = Question(
            vector=request.vector.array()[0],
            limit=depth,
            tenants=tenants,
            without=[Key(owner, each) for owner in tenants for each in request.exclude],
            nprobe=nprobe,
        )
        timeout_s = min(self._backend.timeout_s, _SHARE * remaining_s)
        found, outage = await mirror.search(question, timeout_s)
        return FarAnswer(found, outage, time.perf_counter() - started)

    async def forget(self) -> None:
        """Let the database forget everything: the passages were of another stream."""
        mirrors, self._of = list(self._of.values()), {}
        for mirror in mirrors:
            await mirror.drop()

    async def close(self) -> None:
        """Stop; what the database has not taken is sent after the next start."""
        for mirror in self._of.values():
            await mirror.close()
        for stored in self._stored:
            stored.close()
        if self._backend is not None:
            await self._lanes.far(self._backend.database.close)

    def _changed(self) -> None:
        self.on_change()

    async def _moved_out(self, row: CollectionRow) -> None:
        """Say what a collection that lives in memory again left behind."""
        left = await self._lanes.store(stop_mirroring, self._file, row)
        if left:
            self._log.warning(
                "collection_moved_to_memory",
                collection=row.name,
                detail=f"Milvus still holds {left}; drop it there once no other worker uses it",
            )
