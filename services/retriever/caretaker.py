"""Keeps collections in shape beside the searches: BM25 rebuilt, IVF trained, snapshots written.

:mod:`upkeep` says what is due; this module has it done, in the build thread, and swaps the result in.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from services.retriever import golden, loading, snapshot, upkeep
from services.retriever.collection import Collection
from services.retriever.index import extend_ivf, nlist_for, train_ivf
from services.retriever.lanes import Lanes
from services.retriever.plan import Plan
from services.retriever.snapshot import Header
from services.retriever.store import Store
from services.retriever.upkeep import Chore, Condition
from trimtab.bus.ending import end
from trimtab.telemetry.logs import Logger

_TRAIN_CHUNK = 8192
_RETRY_S = 5.0
_SHORTEST_SLEEP_S = 0.01


@dataclass
class _Kept:
    collection: Collection
    condition: Condition


class Caretaker:
    """Looks after the collections of one worker; lives in the event loop."""

    def __init__(
        self,
        state: Path,
        plan: Plan,
        lanes: Lanes,
        store: Store,
        changing: asyncio.Lock,
        log: Logger,
    ) -> None:
        """``changing`` is held by whoever changes a collection, and here while one is saved."""
        self._state = state
        self._plan = plan
        self._lanes = lanes
        self._store = store
        self._changing = changing
        self._log = log
        self.on_change: Callable[[], None] = lambda: None
        """Called after each chore: sizes and kinds of indexes may be others now."""
        self._kept: dict[str, _Kept] = {}
        self._wake = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    def adopt(self, collection: Collection, condition: Condition) -> None:
        """Look after a collection that was loaded."""
        self._kept[collection.row.name] = _Kept(collection, condition)

    def changed(self, collection: Collection) -> None:
        """Learn that passages were applied to a collection, which may be new."""
        kept = self._kept.setdefault(collection.row.name, _Kept(collection, Condition()))
        kept.condition = kept.condition.changed(collection.size, _now())
        self._wake.set()

    def forget(self) -> None:
        """Look after nothing any more: the passages were of another stream."""
        self._kept = {}

    async def settle(self) -> None:
        """Do at once what searches would miss: words and large indexes, no snapshots."""
        for kept in list(self._kept.values()):
            while chore := upkeep.missing(kept.condition, self._plan.dense):
                await self._do(chore, kept)

    def start(self) -> None:
        """Do what is due, from now on."""
        self._loop = asyncio.create_task(self._keep_up())

    async def close(self) -> None:
        """Stop, and save what no snapshot holds."""
        await end(self._loop)
        for kept in self._kept.values():
            if kept.condition.unsaved_since is not None:
                await self._do(Chore.SNAPSHOT, kept)

    async def _keep_up(self) -> None:
        while True:
            self._wake.clear()
            try:
                for kept in list(self._kept.values()):
                    if (chore := self._due(kept, _now())) is not None:
                        await self._do(chore, kept)
            except Exception:  # noqa: BLE001 - this loop must not end: new words would never be found again
                self._log.exception("upkeep_failed")
                await asyncio.sleep(_RETRY_S)
            await self._sleep()

    async def _sleep(self) -> None:
        """Wait until something is due or changed."""
        now = _now()
        waits = (
            upkeep.due_in(kept.condition, self._plan.dense, now) for kept in self._kept.values()
        )
        shortest = min(waits, default=math.inf)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(
                None if math.isinf(shortest) else max(shortest, _SHORTEST_SLEEP_S)
            ):
                await self._wake.wait()

    def _due(self, kept: _Kept, now: float) -> Chore | None:
        return upkeep.next_chore(kept.condition, self._plan.dense, now)

    async def _do(self, chore: Chore, kept: _Kept) -> None:
        started = _now()
        match chore:
            case Chore.LEXICAL:
                await self._rebuild_words(kept)
            case Chore.IVF:
                await self._rebuild_ivf(kept)
            case Chore.SNAPSHOT:
                await self._save(kept)
        self.on_change()
        self._log.debug(
            "upkeep",
            kind=chore.value,
            collection=kept.collection.row.name,
            passages=kept.collection.size,
            took_ms=round(1000 * (_now() - started), 1),
        )

    async def _rebuild_words(self, kept: _Kept) -> None:
        collection, started = kept.collection, _now()
        given = await self._lanes.search(collection.lexical_input)
        built = await self._lanes.build(loading.lexical_of, given, self._plan.lexical)
        await self._lanes.search(collection.adopt_lexical, built, given.generation)
        complete = collection.generation == given.generation
        kept.condition = replace(
            kept.condition,
            lexical_stale_since=None if complete else started,
            lexical_took_s=_now() - started,
            lexical_built_at=_now(),
        )

    async def _rebuild_ivf(self, kept: _Kept) -> None:
        collection = kept.collection
        nlist = nlist_for(collection.size, self._plan.dense.nlist_per_sqrt)
        sample, slots = await self._lanes.search(collection.begin_training, nlist)
        ivf = await self._lanes.build(train_ivf, sample, nlist)
        for part in np.array_split(slots, math.ceil(len(slots) / _TRAIN_CHUNK)):
            vectors = await self._lanes.search(collection.vectors, part)
            await self._lanes.build(extend_ivf, ivf, vectors, part)
        await self._lanes.search(collection.adopt_ivf, ivf)
        unsaved = kept.condition.unsaved_since
        kept.condition = replace(
            kept.condition,
            nlist=collection.index.nlist,
            unsaved_since=_now() if unsaved is None else unsaved,
        )

    async def _save(self, kept: _Kept) -> None:
        started = _now()
        async with self._changing:  # searches go on meanwhile; only changes wait
            if kept.collection.row.name in self._kept:
                await self._write_snapshot(kept.collection)
            kept.condition = replace(
                kept.condition, unsaved_since=None, save_took_s=_now() - started
            )

    async def _write_snapshot(self, collection: Collection) -> None:
        index = collection.index
        questions = await self._lanes.search(
            golden.record, index, collection.slots, self._plan.dense.nprobe
        )
        header = Header(
            store=await self._lanes.store(self._store.read_id),
            collection=collection.row.name,
            dimension=collection.row.dimension,
            sequence=await self._lanes.store(self._store.read_sequence),
            slots=index.entries,
            kind=index.kind,
            nlist=index.nlist,
        )
        await self._lanes.store(self._store.flush)
        folder = loading.snapshots_of(self._state, collection.row.name)
        await self._lanes.build(snapshot.save, folder, index, header, questions)


def _now() -> float:
    return time.monotonic()
