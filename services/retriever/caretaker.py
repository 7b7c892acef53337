"""Keeps editions in shape beside the searches: BM25 and indexes built, snapshots read and written.

:mod:`upkeep` says what is due; this module has it done, one chore at a time, and tells when sizes changed.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from services.retriever import upkeep
from services.retriever.dense.index import Uncodable
from services.retriever.dense.indexing import Indexing
from services.retriever.dense.ondevice import on_host
from services.retriever.dense.placing import Placing
from services.retriever.edition import Edition
from services.retriever.lanes import Lanes
from services.retriever.passages import loading
from services.retriever.passages.collection import Collection
from services.retriever.upkeep import Chore, Condition
from trimtab.bus.ending import end
from trimtab.telemetry.logs import Logger

_RETRY_S = 5.0
_SHORTEST_SLEEP_S = 0.01


@dataclass
class _Kept:
    edition: Edition
    condition: Condition


class Caretaker:
    """Looks after the editions of one worker; lives in the event loop."""

    def __init__(
        self, lanes: Lanes, indexing: Indexing, changing: asyncio.Lock, log: Logger
    ) -> None:
        """``changing`` is held by whoever changes a collection, and here while one is saved."""
        self._lanes = lanes
        self._changing = changing
        self._indexing = indexing
        self._log = log
        self.placing = Placing(lanes, changing, log, self._keeps)
        """Where searches of IVF lists run."""
        self.on_change: Callable[[], None] = lambda: None
        """Called after each chore: sizes and kinds of indexes may be others now."""
        self._kept: list[_Kept] = []
        self._one_chore = asyncio.Lock()
        self._wake = asyncio.Event()
        self.placing.wake = self._wake.set
        self._loop: asyncio.Task[None] | None = None

    def adopt(self, edition: Edition) -> None:
        """Look after an edition, new or about to be restored."""
        size, trained = edition.collection.size, edition.trained is not None
        condition = Condition(size, trained=trained, changed_at=_now(), lexical_missing=size > 0)
        self._kept.append(_Kept(edition, condition))
        self._wake.set()

    def release(self, edition: Edition) -> None:
        """Look after an edition no longer."""
        self._kept = [kept for kept in self._kept if kept.edition is not edition]
        self.placing.forget(edition)

    async def idle(self) -> None:
        """Wait until the chore that is being done is done."""
        async with self._one_chore:
            pass

    def changed(self, collection: Collection, count: int) -> None:
        """Learn that ``count`` passages were applied to a collection, or removed from it."""
        for kept in self._kept:
            if kept.edition.collection is collection:
                dead = kept.edition.dead
                kept.condition = kept.condition.changed(collection.size, _now(), dead, count)
        self._wake.set()

    def forget(self) -> None:
        """Look after nothing any more: the passages were of another stream."""
        self._kept = []
        self.placing.places.clear()

    async def settle(self) -> None:
        """Do at once what searches would miss: words and large indexes, no snapshots.

        Raises:
            WrongIndex: an index that was built for an edition does not find its own vectors.
        """
        for kept in list(self._kept):
            while kept in self._kept and await self._do_next(kept, upkeep.missing):
                pass

    async def restore(self, edition: Edition) -> None:
        """Let the newest snapshot answer, if there is one that can be believed."""
        async with self._one_chore:
            kept = next((kept for kept in self._kept if kept.edition is edition), None)
            if kept is None:
                return
            changed = await self._indexing.restore(edition)
            if changed is not None:
                kept.condition = replace(_indexed(kept), behind=changed)
            if changed:
                kept.condition = kept.condition.unsaved(_now())

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
                    await self.placing.place(kept.edition)
            except Exception:  # noqa: BLE001 - this loop must not end: new words would never be found again
                self._log.exception("upkeep_failed")
                await asyncio.sleep(_RETRY_S)
            await self._sleep()

    def _keeps(self, edition: Edition) -> bool:
        return any(kept.edition is edition for kept in self._kept)

    async def _sleep(self) -> None:
        """Wait until something is due or changed."""
        now = _now()
        waits = (upkeep.due_in(kept.condition, kept.edition.plan, now) for kept in self._kept)
        shortest = min(waits, default=math.inf)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(
                None if math.isinf(shortest) else max(shortest, _SHORTEST_SLEEP_S)
            ):
                await self._wake.wait()

    async def _do_next(self, kept: _Kept, choose: upkeep.Choose) -> bool:
        """Do what is chosen, if anything; one chore at a time, whoever asks."""
        async with self._one_chore:
            if kept not in self._kept:
                return False  # released meanwhile
            chore = choose(kept.condition, kept.edition.plan)
            if chore is not None:
                await self._do(chore, kept)
        return chore is not None

    async def _do(self, chore: Chore, kept: _Kept) -> None:
        started = _now()
        match chore:
            case Chore.LEXICAL:
                await self._rebuild_words(kept)
            case Chore.INDEX:
                await self._rebuild_index(kept)
            case Chore.SNAPSHOT:
                await self._save(kept)
        await self._lanes.search(kept.edition.measure)
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

    async def _rebuild_index(self, kept: _Kept) -> None:
        edition = kept.edition
        try:
            await self._indexing.make(edition)
        except Uncodable as problem:
            # FLAT goes on: exact, and slower the longer it takes until somebody changes the plan.
            name, size = edition.collection.row.name, edition.collection.size
            self._log.warning("index_does_not_fit", collection=name, detail=str(problem))
            kept.condition = replace(kept.condition, unfit_at=max(size, 1))
            return
        kept.condition = _indexed(kept).unsaved(_now())

    async def _save(self, kept: _Kept) -> None:
        began = _now()
        async with self._changing:  # searches go on meanwhile; only changes wait
            if kept not in self._kept or kept.edition.index is None:
                kept.condition = kept.condition.saved(_now())
                return
            index = on_host(kept.edition.index)
            written = await self._indexing.write(kept.edition, index)
            kept.condition = kept.condition.saved(
                _now()
            )  # what comes from here on is in no snapshot
        try:
            await self._indexing.seal(written)
        except BaseException:
            kept.condition = kept.condition.unsaved(_now())
            raise
        kept.condition = replace(kept.condition, saved_at=_now(), save_took_s=_now() - began)


def _indexed(kept: _Kept) -> Condition:
    index = kept.edition.index
    if index is None:
        return kept.condition
    return kept.condition.indexed(index.kind, index.nlist, index.dead)


def _now() -> float:
    return time.monotonic()
