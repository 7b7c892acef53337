"""Every collection of one worker: loaded at start, fed from the stream, searched by each component.

Runs in the event loop and only orders work: searches and changes go to the search thread one after
another, writes to the store thread.
"""

import asyncio
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from services.retriever import inspection
from services.retriever.caretaker import Caretaker
from services.retriever.dense.index import Vectors
from services.retriever.dense.indexing import Indexing
from services.retriever.dense.trained import Trained
from services.retriever.edition import Edition
from services.retriever.lanes import Lanes
from services.retriever.passages import loading
from services.retriever.passages.collection import Collection
from services.retriever.passages.feed import FeedMessage
from services.retriever.passages.intake import Intake, Taken
from services.retriever.passages.paging import page
from services.retriever.passages.schema import UnusableStore
from services.retriever.passages.store import FILE, CollectionRow, Store
from services.retriever.plan import Plan
from services.retriever.querymodel.choice import OWN, QueryModels, wants_model
from services.retriever.retrieved import Retrieved
from services.retriever.scoring import score
from services.retriever.search import asked_vector, effort, retrieve
from services.retriever.vectordb.database import FarAnswer
from services.retriever.vectordb.mirrors import Backend, Mirrors
from services.retriever.words.terms import english_stemmer
from services.retriever.words.wordcare import Merges, WordCare
from trimtab.contracts.documents import MAX_FOUND, FindPassages, FoundPassages
from trimtab.contracts.errors import UnknownCollection
from trimtab.contracts.inspect import InspectReply, InspectRequest
from trimtab.contracts.retrieve import RetrieveRequest, ScoreReply, ScoreRequest
from trimtab.contracts.vectors import VectorsReply, VectorsRequest
from trimtab.telemetry.logs import Logger
from trimtab.telemetry.metrics import RETRIEVER_REMOVED, RETRIEVER_UPSERTED


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
    """The collections of one worker, and an edition of each for every component."""

    def __init__(
        self, state: Path, reply_bytes: int, log: Logger, backend: Backend | None = None
    ) -> None:
        """With a ``backend``, collections that it holds are searched in its vector database."""
        self._state = state
        self._reply_bytes = reply_bytes
        self._log = log
        self._stem = english_stemmer()
        self._store = open_store(state, log)
        self._intake = Intake(self._store)
        self._lanes = Lanes()
        self._changing = asyncio.Lock()
        self._collections: dict[str, Collection] = {}
        self._plans: dict[str, Plan] = {}
        self._trained: dict[str, Mapping[str, Trained]] = {}
        self._editions: dict[str, dict[str, Edition]] = {}
        self._words = WordCare(self._lanes, self._merging, log)
        indexing = Indexing(state, self._lanes, self._store, log)
        self.caretaker = Caretaker(self._lanes, indexing, self._changing, log)
        self.mirrors = Mirrors(self._store.path, self._lanes, backend, log)
        """Of the collections whose vectors live in a vector database."""
        self.query_models = QueryModels()
        """What a search may be asked to make its vector with."""
        self.sequence = self._store.read_sequence()
        """Stream sequence that the store holds."""
        self.stream = self._store.read_stream()
        """Identity of the stream that the store holds; empty before the first."""
        self.refused = 0
        """Messages of the stream that could not become passages."""
        self._moved = asyncio.Event()

    async def load(self) -> None:
        """Load every collection from the disk."""
        for row in self._store.collections():
            stored = self.mirrors.vectors_of(row)
            loaded = await self._lanes.build(loading.load_collection, self._store, row, stored)
            self._collections[row.name] = loaded
            _count(row.name, 0, 0)  # so that Prometheus sees from what the first change rises
            await self.mirrors.begin(row, self.stream)
        self._words.start()

    async def add(
        self, component: str, plan: Plan, trained: Mapping[str, Trained] = MappingProxyType({})
    ) -> None:
        """Index every collection as a component says, beside the others, while traffic flows.

        ``trained``: the indexes that the component brings, by collection.

        Returns once a search finds everything that is stored. Adding a component again does nothing.

        Raises:
            WrongIndex: lists that were built do not find their own vectors; nothing of it is kept.
        """
        if component in self._plans:
            return
        async with self._changing:  # so that no passage comes between an edition and its collection
            self._plans[component] = plan
            self._trained[component] = trained
            self._editions[component] = {}
            made = [await self._edition(each, component) for each in self._collections.values()]
        try:
            for edition in made:
                await self.caretaker.restore(edition)
            await self.caretaker.settle()
        except BaseException:
            await self._remove(component)
            raise

    async def remove(self, component: str) -> None:
        """Let go of a component's indexes, in memory and on the disk; nobody may ask for it any more."""
        names = list(self._editions[component])
        await self._remove(component)
        await self.caretaker.idle()  # or a snapshot that is being written would stay
        for name in names:
            folder = loading.snapshots_of(self._state, name, component)
            await self._lanes.build(shutil.rmtree, folder, ignore_errors=True)

    async def begin_stream(self, identity: str) -> None:
        """Forget everything: the stream is another one."""
        async with self._changing:
            await self.mirrors.forget()
            await self._lanes.store(self._intake.begin_stream, identity)
            self.caretaker.forget()
            self._collections, self.sequence, self.stream = {}, 0, identity
            self._editions = {component: {} for component in self._plans}

    async def apply(self, batch: Sequence[FeedMessage]) -> None:
        """Make a batch durable, then searchable; it may hold what was applied before."""
        async with self._changing:
            taken = await self._lanes.store(self._intake.take, batch)
            for row in taken.rows.values():
                await self._change(row, taken)
            self.sequence = taken.sequence
            self._moved.set()
            self._moved = asyncio.Event()
        for refusal, count in taken.refused.items():
            self.refused += count
            self._log.warning("passages_refused", reason=refusal.value, count=count)

    @property
    def collections(self) -> Mapping[str, Collection]:
        """The collections by name."""
        return self._collections

    def editions(self, component: str) -> Mapping[str, Edition]:
        """Return what a component that was added made of each collection, by the collection's name."""
        return self._editions[component]

    @property
    def components(self) -> list[str]:
        """Those that were added, the first one first."""
        return list(self._plans)

    def get(self, component: str, name: str) -> Edition:
        """Return a component's edition of a collection.

        Raises:
            UnknownCollection: nothing was ever ingested under this name.
        """
        found = self._editions[component].get(name)
        if found is None:
            raise UnknownCollection(name, tuple(sorted(self._collections)))
        return found

    async def retrieve(
        self, component: str, request: RetrieveRequest, tenant: str, remaining_s: float = 5.0
    ) -> Retrieved:
        """Answer a request in the search thread, with a query model's vector when it asks for one.

        A vector database, which is asked before, may take a part of ``remaining_s``.

        Raises what :func:`search.retrieve`, :meth:`QueryModels.choose` and :meth:`get` do.
        """
        edition = self.get(component, request.collection)
        choice = OWN
        if wants_model(request):
            choice = await self._lanes.model(self.query_models.choose, request)
        asked = choice.request(request)
        far = await self._afar(edition, asked, choice.read, tenant, remaining_s)
        found = await self._lanes.search(
            retrieve, edition, asked, tenant, self._stem, self._reply_bytes, far, choice.read
        )
        return choice.told(found if far is None else found.after(far.took_s))

    async def find(self, component: str, request: FindPassages, tenant: str) -> FoundPassages:
        """Return which passages ``tenant`` itself has of some articles, once the asked sequence is applied.

        Raises:
            UnknownCollection: nothing was ever ingested under this name.
        """
        while self.sequence < request.sequence:
            await self._moved.wait()
        row = self.get(component, request.collection).collection.row
        ids = await self._lanes.store(
            self._store.ids_of, row, request.articles, tenant, MAX_FOUND + 1
        )
        return FoundPassages(ids=ids[:MAX_FOUND], more=len(ids) > MAX_FOUND)

    async def score(self, component: str, request: ScoreRequest) -> ScoreReply:
        """Score loose texts in the search thread; raises what :func:`scoring.score` does."""
        return await self._lanes.search(score, request, self._plans[component], self._stem)

    async def inspect(self, component: str, request: InspectRequest, tenant: str) -> InspectReply:
        """Return the facts of a component's edition of a collection; raises what :meth:`get` does."""
        edition = self.get(component, request.collection)
        snapshots = loading.snapshots_of(self._state, request.collection, component)
        return await inspection.inspect(
            edition,
            request,
            tenant,
            self._lanes,
            snapshots,
            self._reply_bytes,
            self.query_models,
        )

    async def vectors(self, component: str, request: VectorsRequest, tenant: str) -> VectorsReply:
        """Return one page of a collection's vectors; raises what :meth:`get` does."""
        row = self.get(component, request.collection).collection.row
        return await self._lanes.store(
            page, self._store.path, row, request, tenant, self._reply_bytes
        )

    async def close(self) -> None:
        """Finish the batch that is being applied, save what no snapshot holds, then close the store."""
        async with self._changing:
            pass
        await self._words.close()
        await self.mirrors.close()
        await self.caretaker.close()
        self._lanes.close()
        self._store.close()

    async def _change(self, row: CollectionRow, taken: Taken) -> None:
        collection = self._collections.get(row.name)
        if collection is None:
            collection = loading.searched(self._store, row, self.mirrors.vectors_of(row))
            for component in self._plans:
                await self._edition(collection, component)
        collection.row = row
        editions = [each for each in self._every_edition() if each.collection is collection]
        chunk = min((each.apply_chunk for each in editions), default=64)
        removed, changes = taken.removed.get(row.name, ()), taken.changes.get(row.name, [])
        for start in range(0, len(removed), chunk):
            slots = np.array(removed[start : start + chunk], dtype=np.int64)
            await self._lanes.search(collection.remove, slots, taken.sequence)
        for start in range(0, len(changes), chunk):
            part = changes[start : start + chunk]
            await self._lanes.search(collection.apply, part, taken.sequence)
        self._collections = {**self._collections, row.name: collection}
        _count(row.name, len(changes), len(removed))
        self.caretaker.changed(collection, len(removed) + len(changes))
        self._words.changed()
        await self.mirrors.begin(row, self.stream)
        self.mirrors.changed(row.name)

    async def _afar(
        self,
        edition: Edition,
        request: RetrieveRequest,
        read: Vectors | None,
        tenant: str,
        remaining_s: float,
    ) -> FarAnswer | None:
        if not edition.collection.afar:
            return None
        asked_vector(edition, request)  # what is wrong with it is said before anybody is asked
        depth, nprobe = effort(edition, request, read)
        return await self.mirrors.nearest(
            edition.collection.row.name, request, tenant, depth, nprobe, remaining_s
        )

    def _merging(self) -> list[Merges]:
        words = [edition.lexical for edition in self._every_edition()]
        return [*words, *(each.sparse for each in self._collections.values())]

    def _every_edition(self) -> list[Edition]:
        return [each for named in self._editions.values() for each in named.values()]

    async def _edition(self, collection: Collection, component: str) -> Edition:
        trained = self._trained[component].get(collection.row.name)
        edition = Edition(collection, component, self._plans[component], trained)
        await self._lanes.search(collection.attach, edition)
        self.caretaker.adopt(edition)
        self._editions[component][collection.row.name] = edition
        return edition

    async def _remove(self, component: str) -> None:
        async with self._changing:
            del self._plans[component], self._trained[component]
            for edition in self._editions.pop(component).values():
                self.caretaker.release(edition)
                await self._lanes.search(edition.collection.detach, edition)


def _count(collection: str, upserted: int, removed: int) -> None:
    RETRIEVER_UPSERTED.labels(collection).inc(upserted)
    RETRIEVER_REMOVED.labels(collection).inc(removed)
