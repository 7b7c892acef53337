"""Keeps words and sparse vectors in few segments, beside the searches and beside all other upkeep.

A thread of its own merges: a k-means of minutes must not let hundreds of small segments pile up.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from services.retriever.lanes import Lanes
from services.retriever.words.segment import Segment
from services.retriever.words.segments import Merge
from trimtab.bus.ending import end
from trimtab.telemetry.logs import Logger

_RETRY_S = 5.0


class Merges(Protocol):
    """An index of segments."""

    def due(self) -> Merge | None:
        """Return work that keeps searches fast; None: all is well."""

    def adopt(self, merge: Merge, made: Segment) -> None:
        """Search what a merge made in place of what it was made of."""


class WordCare:
    """Merges the segments of the indexes of one worker; lives in the event loop."""

    def __init__(self, lanes: Lanes, indexes: Callable[[], Sequence[Merges]], log: Logger) -> None:
        """``indexes()`` are those to look after, whenever it is asked."""
        self._lanes = lanes
        self._indexes = indexes
        self._log = log
        self._wake = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Merge what is due, from now on."""
        self._loop = asyncio.create_task(self._keep_up())

    def changed(self) -> None:
        """Learn that words may have changed."""
        self._wake.set()

    async def settle(self) -> None:
        """Merge until nothing is due."""
        merged = True
        while merged:  # others may stand there once a merge is done
            merged = any([await self._merge(index) for index in self._indexes()])

    async def close(self) -> None:
        """Stop; what was being merged is dropped, for its sources are still there."""
        await end(self._loop)

    async def _keep_up(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self.settle()
            except Exception:  # noqa: BLE001 - this loop must not end: searches would become slower and slower
                self._log.exception("merge_failed")
                await asyncio.sleep(_RETRY_S)
                self._wake.set()

    async def _merge(self, index: Merges) -> bool:
        merge = await self._lanes.search(index.due)
        if merge is None:
            return False
        made = await self._lanes.words(merge.run)
        await self._lanes.search(index.adopt, merge, made)
        return True
