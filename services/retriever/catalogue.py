"""Every collection of one worker: loaded at start, fed from the stream, searched.

Runs in the event loop and only orders work: searches and changes go to the search thread one after
another, writes to the store thread.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from services.retriever import loading
from services.retriever.caretaker import Caretaker
from services.retriever.collection import Change, Collection
from services.retriever.feed import FeedMessage
from services.retriever.intake import Intake
from services.retriever.lanes import Lanes
from services.retriever.plan import Plan
from services.retriever.schema import UnusableStore
from services.retriever.scoring import score
from services.retriever.search import Retrieved, retrieve
from services.retriever.store import FILE, CollectionRow, Store
from services.retriever.terms import english_stemmer
from trimtab.contracts.errors import UnknownCollection
from trimtab.contracts.retrieve import RetrieveRequest, ScoreReply, ScoreRequest
from trimtab.telemetry.logs import Logger
from trimtab.telemetry.metrics import RETRIEVER_SNAPSHOT_REFUSED

_APPLY_CHUNK = 64
"""Passages put in one go of the search thread: an IVF index of 1000 lists takes about 2 ms for them."""


def open_store(state: Path, log: Logger) -> Store:
    """Open the passage store; an unusable file is set aside, and the stream will be replayed."""
    path = state / FILE
    try:
        return Store(path)
    except UnusableStore:
        log.exception("store_set_aside", path=path.name)
        for suffix in ("", "-wal", "-shm"):
            part = path.with_name(path.name + suffix)
            if part.exists():
                part.rename(part.with_name(f"{part.name}.unusable-{time.time_ns()}"))
        return Store(path)


class Catalogue:
    """The collections of one worker."""

    def __init__(self, state: Path, plan: Plan, reply_bytes: int, log: Logger) -> None:
        self._state = state
        self._plan = plan
        self._reply_bytes = reply_bytes
        self._log = log
        self._stem = english_stemmer()
        self._store = open_store(state, log)
        self._intake = Intake(self._store)
        self._lanes = Lanes()
        self._changing = asyncio.Lock()
        self._collections: dict[str, Collection] = {}
        self.caretaker = Caretaker(state, plan, self._lanes, self._store, self._changing, log)
        self.sequence = self._store.read_sequence()
        """Stream sequence that the store holds."""
        self.stream = self._store.read_stream()
        """Identity of the stream that the store holds; empty before the first."""
        self.refused = 0
        """Messages of the stream that could not become passages."""

    async def load(self) -> None:
        """Load every collection from the disk."""
        for row in self._store.collections():
            loaded = await self._lanes.build(
                loading.load_collection,
                self._store,
                row,
                self._plan,
                self._state,
                time.monotonic(),
            )
            if loaded.refused is not None:
                RETRIEVER_SNAPSHOT_REFUSED.labels(loaded.refused.value).inc()
                self._log.warning(
                    "snapshot_refused", collection=row.name, cause=loaded.refused.value
                )
            self._collections[row.name] = loaded.collection
            self.caretaker.adopt(loaded.collection, loaded.condition)

    async def begin_stream(self, identity: str) -> None:
        """Forget everything: the stream is another one."""
        async with self._changing:
            await self._lanes.store(self._intake.begin_stream, identity)
            self.caretaker.forget()
            self._collections, self.sequence, self.stream = {}, 0, identity

    async def apply(self, batch: Sequence[FeedMessage]) -> None:
        """Make a batch durable, then searchable; it may hold what was applied before."""
        async with self._changing:
            taken = await self._lanes.store(self._intake.take, batch)
            for name, changes in taken.changes.items():
                await self._put(taken.rows[name], changes, taken.sequence)
            self.sequence = taken.sequence
        for refusal, count in taken.refused.items():
            self.refused += count
            self._log.warning("passages_refused", reason=refusal.value, count=count)

    @property
    def collections(self) -> Mapping[str, Collection]:
        """The collections by name."""
        return self._collections

    def get(self, name: str) -> Collection:
        """Return a collection.

        Raises:
            UnknownCollection: nothing was ever ingested under this name.
        """
        found = self._collections.get(name)
        if found is None:
            raise UnknownCollection(name, tuple(sorted(self._collections)))
        return found

    async def retrieve(self, request: RetrieveRequest, tenant: str) -> Retrieved:
        """Answer a request in the search thread; raises what :func:`search.retrieve` and :meth:`get` do."""
        collection = self.get(request.collection)
        return await self._lanes.search(
            retrieve, collection, request, tenant, self._stem, self._reply_bytes
        )

    async def score(self, request: ScoreRequest) -> ScoreReply:
        """Score loose texts in the search thread; raises what :func:`scoring.score` does."""
        return await self._lanes.search(score, request, self._plan, self._stem)

    async def close(self) -> None:
        """Finish the batch that is being applied, save what no snapshot holds, then close the store."""
        async with self._changing:
            pass
        await self.caretaker.close()
        self._lanes.close()
        self._store.close()

    async def _put(self, row: CollectionRow, changes: list[Change], sequence: int) -> None:
        collection = self._collections.get(row.name)
        if collection is None:
            collection = Collection(row, self._plan, lambda slots: self._store.hits(row, slots))
        collection.row = row
        for start in range(0, len(changes), _APPLY_CHUNK):
            part = changes[start : start + _APPLY_CHUNK]
            await self._lanes.search(collection.apply, part, sequence)
        self._collections = {**self._collections, row.name: collection}
        self.caretaker.changed(collection)
