"""The one loop that moves passages from the stream into the catalogue, and says how that goes."""

import asyncio
import contextlib
import sqlite3

from services.retriever.catalogue import Catalogue
from services.retriever.dense.advice import Shape, advice, reasons_to_rebuild
from services.retriever.passages.feed import Feed, StreamReplaced
from trimtab.bus.ending import end
from trimtab.contracts.samples import ADVICE, Readiness
from trimtab.telemetry.metrics import (
    RETRIEVER_INDEX_ADVISED,
    RETRIEVER_INDEX_GROWTH,
    RETRIEVER_INDEX_HOTTEST,
    RETRIEVER_INDEX_IMBALANCE,
    RETRIEVER_INDEX_ON_DEVICE,
    RETRIEVER_PASSAGES,
    RETRIEVER_SEQUENCE,
)
from trimtab.worker.service import Worker

_RETRY_S = 2.0
_WATCH_S = 1.0
_BY_COMPONENT = (
    RETRIEVER_INDEX_IMBALANCE,
    RETRIEVER_INDEX_HOTTEST,
    RETRIEVER_INDEX_GROWTH,
    RETRIEVER_INDEX_ADVISED,
    RETRIEVER_INDEX_ON_DEVICE,
)
_BEHIND = "reading the document stream again: not all passages are searchable yet"
_AFAR = "Milvus does not have all vectors or is away: its collections are searched by words; see the log"
_UNWRITABLE = "the passage store cannot be written; is the disk full?"


class Follower:
    """Keeps one catalogue up to date with the stream."""

    def __init__(self, worker: Worker, feed: Feed, catalogue: Catalogue) -> None:
        self._worker = worker
        self._feed = feed
        self._catalogue = catalogue
        self._task: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._told_of = ""
        self._caught_up = asyncio.Event()
        self._unsound = ""
        self._before = (Readiness.READY, "")

    async def catch_up(self) -> None:
        """Start to follow; returns once everything that is in the stream is searchable."""
        self._task = asyncio.create_task(self._follow())
        self._task.add_done_callback(self._ended)
        caught_up = asyncio.create_task(self._caught_up.wait())
        await asyncio.wait({self._task, caught_up}, return_when=asyncio.FIRST_COMPLETED)
        caught_up.cancel()
        if self._task.done():
            self._task.result()
        self._watch = asyncio.create_task(self._watch_releases())
        self._watch.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Follow no further; a batch that is being applied is finished first."""
        tasks = [task for task in (self._task, self._watch) if task is not None]
        for task in tasks:
            task.remove_done_callback(self._ended)
        await end(*tasks)

    def tell(self) -> None:
        """Put what is searchable into the samples and metrics."""
        facts = self._worker.identity.facts
        sizes = {name: each.size for name, each in self._catalogue.collections.items()}
        facts["applied_sequence"] = self._catalogue.sequence
        facts["passages"] = sum(sizes.values())
        facts["refused_passages"] = self._catalogue.refused
        RETRIEVER_SEQUENCE.set(self._catalogue.sequence)
        for name, collection in self._catalogue.collections.items():
            facts[f"passages.{name}"] = sizes[name]
            facts[f"token_bytes.{name}"] = collection.token_bytes
            if collection.row.sparse is not None:
                facts[f"sparse.{name}"] = collection.sparse.size
                facts[f"sparse_postings.{name}"] = collection.sparse.postings
            facts[f"namespace.{name}"] = collection.row.namespace
            facts[f"dimension.{name}"] = collection.row.dimension
            RETRIEVER_PASSAGES.labels(name).set(sizes[name])
        self._tell_of_mirrors()
        self._tell_of_devices()
        serving = self._told_of = self._serving
        for number, component in enumerate(self._catalogue.components):
            for name, edition in self._catalogue.editions(component).items():
                about = f"{name}.{component}" if number else name
                facts[f"index.{about}"] = edition.kind
                facts[f"nlist.{about}"] = edition.nlist
                facts[f"imbalance.{about}"] = round(edition.shape.imbalance, 3)
                facts[f"growth.{about}"] = round(edition.shape.growth, 3)
                # What is kept for a rollback may stay as it is: `index rebuild` could not change it.
                advised = serving in ("", component)
                facts[f"{ADVICE}{about}"] = advice(name, edition.shape) if advised else ""
                _measure(name, component, edition.shape, advised=advised)

    def forget(self, component: str) -> None:
        """Say nothing more of a component that was unloaded."""
        facts = self._worker.identity.facts
        for key in [key for key in facts if key.endswith(f".{component}")]:
            del facts[key]
        for name in self._catalogue.collections:
            for gauge in _BY_COMPONENT:
                with contextlib.suppress(KeyError):  # a collection that it never had an index of
                    gauge.remove(name, component)

    @property
    def _serving(self) -> str:
        """Component of the stable release; empty before the first control state."""
        controls = self._worker.controls.current
        return "" if controls is None else controls.release.retrieve

    async def _watch_releases(self) -> None:
        """Tell again when another component serves: a rebuild that was advised is done then."""
        while True:
            await asyncio.sleep(_WATCH_S)
            if self._serving != self._told_of:
                self.tell()

    def _tell_of_mirrors(self) -> None:
        """Say which collections are searched without their vectors; the worker limps as long as one is."""
        outages = self._catalogue.mirrors.outages
        for name, outage in outages.items():
            self._worker.identity.facts[f"vectors.{name}"] = "ready" if outage is None else outage
        if any(outages.values()):
            if not self._unsound:
                self._limp(_AFAR)
        elif self._unsound == _AFAR:
            self._recover()

    def _tell_of_devices(self) -> None:
        """Say which indexes a GPU searches; ``device`` is ``gpu`` only while it searches one."""
        placing, facts = self._catalogue.caretaker.placing, self._worker.identity.facts
        for (name, component), place in placing.places.items():
            facts[f"device.{name}.{component}"] = str(place)
            RETRIEVER_INDEX_ON_DEVICE.labels(name, component).set(place.on_device)
        if placing.device is not None:
            searches = any(place.on_device for place in placing.places.values())
            facts["device"] = "gpu" if searches else "cpu"

    async def _follow(self) -> None:
        while True:
            await self._choose_stream()
            try:
                await self._apply_all()
            except StreamReplaced:
                self._worker.log.warning("documents_replaced", sequence=self._catalogue.sequence)
            except sqlite3.Error as error:
                self._worker.log.warning("store_unwritable", error=type(error).__name__)
                self._limp(_UNWRITABLE)
                await asyncio.sleep(_RETRY_S)

    async def _choose_stream(self) -> None:
        """Start over when the stream is not the one that the store holds."""
        facts = await self._feed.stream()
        known = self._catalogue
        if facts.identity != known.stream or facts.last_sequence < known.sequence:
            await known.begin_stream(facts.identity)
            if facts.last_sequence:
                self._limp(_BEHIND)

    async def _apply_all(self) -> None:
        batches = self._feed.batches(self._catalogue.stream, self._catalogue.sequence)
        async with contextlib.aclosing(batches):
            async for batch in batches:
                if batch:
                    # A half-applied batch would be half searchable: finish it even when asked to stop.
                    await asyncio.shield(self._catalogue.apply(batch))
                    self.tell()
                if self._feed.behind == 0:
                    self._caught_up.set()
                    if self._unsound != _AFAR:
                        self._recover()

    def _limp(self, reason: str) -> None:
        identity = self._worker.identity
        if identity.readiness in (Readiness.READY, Readiness.DEGRADED):
            if not self._unsound:
                self._before = (identity.readiness, identity.reason)
            self._unsound = reason
            self._worker.feel(Readiness.DEGRADED, reason)

    def _recover(self) -> None:
        if self._unsound and self._worker.identity.reason == self._unsound:
            self._worker.feel(*self._before)
        self._unsound = ""

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """A fault of ours: end the process, so that the next one starts from what is on disk."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._worker.log.error("follower_ended", error=type(error).__name__, exc_info=error)
            self._worker.request_stop()


def _measure(collection: str, component: str, shape: Shape, *, advised: bool) -> None:
    about = (collection, component)
    RETRIEVER_INDEX_IMBALANCE.labels(*about).set(shape.imbalance)
    RETRIEVER_INDEX_HOTTEST.labels(*about).set(shape.hottest)
    RETRIEVER_INDEX_GROWTH.labels(*about).set(shape.growth)
    RETRIEVER_INDEX_ADVISED.labels(*about).set(float(advised and bool(reasons_to_rebuild(shape))))
