"""Keeps editions in shape beside the searches: BM25 rebuilt, IVF trained, snapshots read and written.

:mod:`upkeep` says what is due; this module has it done, in the build thread, and swaps the result in.
"""

import asyncio
import contextlib
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from services.retriever import golden, loading, snapshot, upkeep
from services.retriever.collection import Collection
from services.retriever.dense import DenseIndex, Slots
from services.retriever.edition import Edition
from services.retriever.ivf import train_ivf
from services.retriever.lanes import Lanes
from services.retriever.plan import nlist_for
from services.retriever.snapshot import Header, SnapshotRefused
from services.retriever.store import Store
from services.retriever.upkeep import Chore, Condition
from trimtab.bus.ending import end
from trimtab.telemetry.logs import Logger
from trimtab.telemetry.metrics import RETRIEVER_SNAPSHOT_REFUSED

_TRAIN_CHUNK = 8192
_RETRY_S = 5.0
_SHORTEST_SLEEP_S = 0.01


class WrongIndex(Exception):
    """Lists that were just built do not find what is in them."""


@dataclass
class _Kept:
    edition: Edition
    condition: Condition


class Caretaker:
    """Looks after the editions of one worker; lives in the event loop."""

    def __init__(
        self, state: Path, lanes: Lanes, store: Store, changing: asyncio.Lock, log: Logger
    ) -> None:
        """``changing`` is held by whoever changes a collection, and here while one is saved."""
        self._state = state
        self._lanes = lanes
        self._store = store
        self._changing = changing
        self._log = log
        self.on_change: Callable[[], None] = lambda: None
        """Called after each chore: sizes and kinds of indexes may be others now."""
        self._kept: list[_Kept] = []
        self._one_chore = asyncio.Lock()
        self._wake = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    def adopt(self, edition: Edition) -> None:
        """Look after an edition, new or about to be restored."""
        size = edition.collection.size
        self._kept.append(
            _Kept(edition, Condition(size, changed_at=_now(), lexical_missing=size > 0))
        )
        self._wake.set()

    def release(self, edition: Edition) -> None:
        """Look after an edition no longer."""
        self._kept = [kept for kept in self._kept if kept.edition is not edition]

    def changed(self, collection: Collection) -> None:
        """Learn that passages were applied to a collection."""
        for kept in self._kept:
            if kept.edition.collection is collection:
                kept.condition = kept.condition.changed(collection.size, _now())
        self._wake.set()

    def forget(self) -> None:
        """Look after nothing any more: the passages were of another stream."""
        self._kept = []

    async def settle(self) -> None:
        """Do at once what searches would miss: words and large indexes, no snapshots.

        Raises:
            WrongIndex: lists that were built for an edition do not find their own vectors.
        """
        for kept in list(self._kept):
            while kept in self._kept and await self._do_next(kept, upkeep.missing):
                pass

    async def restore(self, edition: Edition) -> None:
        """Let the lists of the newest snapshot answer, if there is one that can be believed."""
        async with self._one_chore:
            kept = next((kept for kept in self._kept if kept.edition is edition), None)
            if kept is not None:
                await self._restore(kept)

    def start(self) -> None:
        """Do what is due, from now on."""
        self._loop = asyncio.create_task(self._keep_up())

    async def close(self) -> None:
        """Stop, and save what no snapshot holds."""
        await end(self._loop)
        for kept in self._kept:
            if kept.edition.index is not None and kept.condition.unsaved_since is not None:
                await self._do(Chore.SNAPSHOT, kept)

    async def _keep_up(self) -> None:
        while True:
            self._wake.clear()
            try:
                for kept in list(self._kept):
                    await self._do_next(
                        kept, lambda state, plan: upkeep.next_chore(state, plan, _now())
                    )
            except Exception:  # noqa: BLE001 - this loop must not end: new words would never be found again
                self._log.exception("upkeep_failed")
                await asyncio.sleep(_RETRY_S)
            await self._sleep()

    async def _sleep(self) -> None:
        """Wait until something is due or changed."""
        now = _now()
        waits = (upkeep.due_in(kept.condition, kept.edition.plan.dense, now) for kept in self._kept)
        shortest = min(waits, default=math.inf)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(
                None if math.isinf(shortest) else max(shortest, _SHORTEST_SLEEP_S)
            ):
                await self._wake.wait()

    async def _do_next(self, kept: _Kept, choose: upkeep.Choose) -> bool:
        """Do what is chosen, if anything; one chore at a time, whoever asks."""
        async with self._one_chore:
            chore = choose(kept.condition, kept.edition.plan.dense)
            if chore is not None:
                await self._do(chore, kept)
        return chore is not None

    async def _do(self, chore: Chore, kept: _Kept) -> None:
        started = _now()
        match chore:
            case Chore.LEXICAL:
                await self._rebuild_words(kept)
            case Chore.IVF:
                await self._rebuild_lists(kept)
            case Chore.SNAPSHOT:
                await self._save(kept)
        self.on_change()
        self._log.debug(
            "upkeep",
            kind=chore.value,
            collection=kept.edition.collection.row.name,
            component=kept.edition.component,
            passages=kept.edition.collection.size,
            took_ms=round(1000 * (_now() - started), 1),
        )

    async def _rebuild_words(self, kept: _Kept) -> None:
        edition = kept.edition
        given = await self._lanes.search(edition.begin_lexical)
        built = await self._lanes.build(loading.lexical_of, given, edition.plan.lexical)
        await self._lanes.search(edition.adopt_lexical, built, given.generation)
        kept.condition = replace(kept.condition, lexical_missing=False)

    async def _rebuild_lists(self, kept: _Kept) -> None:
        edition = kept.edition
        nlist = nlist_for(edition.collection.size, edition.plan.dense.nlist_per_sqrt)
        await self._lanes.search(edition.begin_index)
        sample = await self._lanes.search(edition.sample, nlist)
        slots = await self._lanes.search(lambda: edition.collection.slots)
        lists = await self._lanes.build(train_ivf, sample, nlist)
        await self._fill(lists, edition, slots)
        await self._lanes.search(edition.adopt_index, lists)
        unsaved = kept.condition.unsaved_since
        kept.condition = replace(
            kept.condition,
            nlist=edition.nlist,
            unsaved_since=_now() if unsaved is None else unsaved,
        )

    async def _fill(self, lists: DenseIndex, edition: Edition, slots: Slots) -> None:
        """Add what is at ``slots``, and ask for some of it before anybody else may."""
        step = max(1, len(slots) // golden.QUERIES)
        for part in np.array_split(slots, max(1, math.ceil(len(slots) / _TRAIN_CHUNK))):
            present, vectors = await self._lanes.search(edition.collection.held, part)
            await self._lanes.build(lists.extend, vectors, present)
            nprobe = edition.plan.dense.nprobe
            if not await self._lanes.build(golden.finds_itself, lists, vectors[::step], nprobe):
                raise WrongIndex(edition.collection.row.name)

    async def _restore(self, kept: _Kept) -> None:
        edition = kept.edition
        row = edition.collection.row
        folder = snapshot.newest(loading.snapshots_of(self._state, row.name, edition.component))
        if folder is None:
            return
        store, sequence = await self._lanes.store(
            lambda: (self._store.read_id(), self._store.read_sequence())
        )

        def expected(header: Header) -> bool:
            found = (header.store, header.collection, header.component, header.dimension)
            wanted = (store, row.name, edition.component, row.dimension)
            return found == wanted and header.sequence <= sequence

        await self._lanes.search(edition.begin_index)
        try:
            lists, header = await self._lanes.build(snapshot.load, folder, expected)
        except SnapshotRefused as refusal:
            RETRIEVER_SNAPSHOT_REFUSED.labels(refusal.cause.value).inc()
            self._log.warning("snapshot_refused", collection=row.name, cause=refusal.cause.value)
            shutil.rmtree(
                folder, ignore_errors=True
            )  # or a later start, further on, might believe it
            return
        changed = await self._lanes.store(self._store.changed_since, row, header.sequence)
        await self._lanes.search(edition.adopt_index, lists, changed)
        kept.condition = replace(
            kept.condition,
            nlist=edition.nlist,
            unsaved_since=_now() if len(changed) else kept.condition.unsaved_since,
        )

    async def _save(self, kept: _Kept) -> None:
        started = _now()
        async with self._changing:  # searches go on meanwhile; only changes wait
            if kept in self._kept and kept.edition.index is not None:
                await self._write_snapshot(kept.edition, kept.edition.index)
            kept.condition = replace(
                kept.condition, unsaved_since=None, save_took_s=_now() - started
            )

    async def _write_snapshot(self, edition: Edition, lists: DenseIndex) -> None:
        collection = edition.collection
        asked = await self._lanes.search(
            lambda: collection.vectors(golden.spread(collection.slots))
        )
        questions = await self._lanes.search(golden.record, lists, asked, edition.plan.dense.nprobe)
        header = Header(
            store=await self._lanes.store(self._store.read_id),
            collection=collection.row.name,
            component=edition.component,
            dimension=collection.row.dimension,
            sequence=await self._lanes.store(self._store.read_sequence),
            slots=lists.entries,
            nlist=lists.nlist,
        )
        await self._lanes.store(self._store.flush)
        folder = loading.snapshots_of(self._state, collection.row.name, edition.component)
        await self._lanes.build(snapshot.save, folder, lists, header, questions)


def _now() -> float:
    return time.monotonic()
