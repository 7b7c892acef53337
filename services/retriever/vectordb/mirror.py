"""One collection's vectors in the vector database: kept up with the store, searched, and done without while away.

The store is the truth and the database a copy, so nothing is lost while it is away: what it has not taken is
sent when it answers again. Lives in the event loop; every call of the database has a thread of its own.
"""

import asyncio
import contextlib
import re
from collections.abc import Callable

import numpy as np
import xxhash

from services.retriever.lanes import Lanes
from services.retriever.vectordb.database import (
    CollectionGone,
    Found,
    Question,
    VectorDatabase,
    VectorsAway,
)
from services.retriever.vectordb.unmirrored import Pending, Unmirrored
from trimtab.bus.ending import end
from trimtab.contracts.retrieve import DenseOutage
from trimtab.telemetry.logs import Logger

_PART = 512
"""Passages of one write: 3 MB at 1536 dimensions."""

_RETRY_S = 1.0
"""A database that is away is asked again after that."""

NOTHING = Found([], np.empty(0, dtype=np.float32))


def name_of(collection: str, stream: str) -> str:
    """Return what the database calls a collection: another stream's passages have another name."""
    digest = xxhash.xxh3_64_hexdigest(f"{stream}/{collection}".encode())
    return f"trimtab_{re.sub('[^a-z0-9]', '_', collection)}_{digest}"


class Mirror:
    """Keeps one collection in the database and searches it there."""

    def __init__(
        self,
        database: VectorDatabase,
        unmirrored: Unmirrored,
        name: str,
        dimension: int,
        lanes: Lanes,
        log: Logger,
    ) -> None:
        """``name`` is what the database calls the collection."""
        self.name = name
        self.outage: DenseOutage | None = DenseOutage.BEHIND
        """Why it is searched without vectors, or without all of them; None when all is well."""
        self.on_change: Callable[[], None] = lambda: None
        """Called when :attr:`outage` changes, and while the database is away."""
        self._database = database
        self._unmirrored = unmirrored
        self._dimension = dimension
        self._lanes = lanes
        self._log = log
        self._wake = asyncio.Event()
        self._tried = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Keep the database up with the store, from now on."""
        self._loop = asyncio.create_task(self._follow())

    def changed(self) -> None:
        """Learn that the store has something new."""
        self._wake.set()

    async def settle(self, patience_s: float) -> None:
        """Return once the database knows everything, is found to be away, or patience is at its end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._tried.wait()

    async def search(
        self, question: Question, timeout_s: float
    ) -> tuple[Found, DenseOutage | None]:
        """Return the nearest passages within ``timeout_s``; nothing and the reason while the database is away."""
        if self.outage not in (None, DenseOutage.BEHIND):
            return NOTHING, self.outage
        try:
            async with asyncio.timeout(timeout_s):
                found = await self._lanes.far(self._database.search, self.name, question, timeout_s)
        except TimeoutError:
            self._lost(
                VectorsAway(DenseOutage.DEADLINE, "the vector database did not answer in time")
            )
            return NOTHING, DenseOutage.DEADLINE
        except VectorsAway as error:
            self._lost(error)
            return NOTHING, error.cause
        return found, self.outage

    async def drop(self) -> None:
        """Stop, and let the database forget the collection; while it is away an orphan stays there."""
        await end(self._loop)
        await self._lanes.store(self._unmirrored.end)
        try:
            await self._lanes.far(self._database.drop, self.name)
        except VectorsAway as error:
            self._log.warning("mirror_not_dropped", collection=self.name, detail=str(error))

    async def close(self) -> None:
        """Stop; what the database has not taken is sent after the next start."""
        await end(self._loop)
        await self._lanes.store(self._unmirrored.close)

    async def _follow(self) -> None:
        while True:
            self._wake.clear()
            try:
                await self._catch_up()
                self._become(None)
            except VectorsAway as error:
                await self._away(error)
            except Exception:  # noqa: BLE001 - this loop must not end: the database would never catch up
                self._log.exception("mirror_failed", collection=self.name)
                self._become(DenseOutage.BEHIND)
            self._tried.set()
            await self._sleep()

    async def _sleep(self) -> None:
        """Wait for something new; while the database is away, no longer than until it is asked again."""
        if self.outage is not None:
            await asyncio.sleep(_RETRY_S)
            return
        await self._wake.wait()

    async def _catch_up(self) -> None:
        if self.outage is not None:
            await self._prepare()
        while not (pending := await self._lanes.store(self._unmirrored.next, _PART)).empty:
            await self._lanes.far(self._send, pending)
            await self._lanes.store(self._unmirrored.taken, pending)

    async def _prepare(self) -> None:
        """Make sure that the database has the collection, and all that it once took."""
        made = await self._lanes.far(self._database.prepare, self.name, self._dimension)
        self._become(DenseOutage.BEHIND)
        known = await self._lanes.store(self._unmirrored.known)
        if made or await self._lanes.far(self._database.count, self.name) < known:
            await self._lanes.store(self._unmirrored.begin_again)

    def _send(self, pending: Pending) -> None:
        """Write a part; of a passage that another worker wrote from a later message, nothing."""
        held = self._database.sequences(self.name, [entry.key for entry in pending.entries])
        newer = [each for each in pending.entries if held.get(each.key, -1) < each.sequence]
        self._database.put(self.name, newer)
        self._database.remove(self.name, pending.gone)

    async def _away(self, error: VectorsAway) -> None:
        if isinstance(error, CollectionGone):
            await self._lanes.store(self._unmirrored.begin_again)
        self._say(error)
        self._become(error.cause)
        self.on_change()  # again and again: whoever could not listen yet hears of it, too

    def _lost(self, error: VectorsAway) -> None:
        """Search without it until the loop has seen it again; a refused question may be the question's fault."""
        if error.cause is not DenseOutage.REFUSED:
            self._say(error)
            self._become(error.cause)
        self._wake.set()

    def _say(self, error: VectorsAway) -> None:
        if self.outage in (None, DenseOutage.BEHIND):
            self._log.warning(
                "vectors_away", collection=self.name, cause=error.cause.value, detail=str(error)
            )

    def _become(self, outage: DenseOutage | None) -> None:
        if outage is None and self.outage not in (None, DenseOutage.BEHIND):
            self._log.info("vectors_back", collection=self.name)
        if outage != self.outage:
            self.outage = outage
            self.on_change()
