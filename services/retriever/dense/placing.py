"""Puts the IVF lists of editions onto a device, and keeps their clones young."""

import asyncio

from services.retriever.dense.index import DenseIndex
from services.retriever.dense.ivf import IvfLists
from services.retriever.dense.ondevice import Clone, OnDevice, ToDevice
from services.retriever.edition import Edition
from services.retriever.lanes import Lanes
from trimtab.telemetry.logs import Logger
from trimtab.telemetry.metrics import RETRIEVER_DEVICE_FALLBACK


class Placing:
    """Looks after the clones of one worker's editions; lives in the event loop."""

    def __init__(self, lanes: Lanes, changing: asyncio.Lock, log: Logger) -> None:
        """``changing`` is held by whoever changes a collection, and here while one is cloned."""
        self._lanes = lanes
        self._changing = changing
        self._log = log
        self.device: ToDevice | None = None
        """What clones; None leaves every search to the CPU."""

    async def place(self, edition: Edition) -> None:
        """Clone an edition's IVF lists when a clone is due; searches go on meanwhile, changes wait."""
        if self.device is None:
            return
        index = edition.index
        if type(index) is IvfLists:  # not its subclass of codes, which no clone here can hold
            index = OnDevice(index, self.device, self._fell_back)
        if not isinstance(index, OnDevice) or not index.stale:
            return
        before = edition.index
        async with self._changing:
            clone = await self._lanes.build(index.clone)
            await self._lanes.search(_adopt, edition, before, index, clone)

    def _fell_back(self, where: str) -> None:
        RETRIEVER_DEVICE_FALLBACK.labels(where).inc()
        self._log.warning("device_given_up", kind=where, detail="the CPU answers from here on")


def _adopt(
    edition: Edition, before: DenseIndex | None, index: OnDevice, clone: Clone | None
) -> None:
    """In the search thread: nothing that replaced the index meanwhile is replaced in turn."""
    if edition.index is not before:
        return
    if clone is not None:
        index.adopt(clone)
    edition.index = index  # also without a clone: one that was given up is not tried at every turn
