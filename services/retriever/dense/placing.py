"""Puts the IVF lists of editions onto a device, keeps their clones young, and says which editions it searches."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from services.retriever.dense.index import DenseIndex
from services.retriever.dense.ivf import IvfLists
from services.retriever.dense.ondevice import Clone, OnDevice, ToDevice
from services.retriever.edition import Edition
from services.retriever.lanes import Lanes
from trimtab.telemetry.logs import Logger
from trimtab.telemetry.metrics import RETRIEVER_DEVICE_FALLBACK

_FIT = "ivf"
"""The kind of index that can be cloned."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the index of an edition is searched by a worker that has a device."""

    reason: str = ""
    """Why not on the device; empty while a clone answers."""

    @property
    def on_device(self) -> bool:
        """Whether a clone answers."""
        return not self.reason

    def __str__(self) -> str:
        return f"cpu: {self.reason}" if self.reason else "gpu"


def place_of(edition: Edition) -> Place:
    """Return where an edition is searched now; of few visible passages each is compared on the CPU anyway."""
    index, plan = edition.index, edition.plan
    if isinstance(index, OnDevice):
        if index.cloned:
            return Place()
        return Place("its clone is due" if index.stale else "the device gave it up; see the log")
    if edition.collection.afar:
        return Place("the vector database searches it")
    if plan.index.kind != _FIT:
        return Place(f"{edition.component} keeps no IVF lists; choose a component with kind {_FIT}")
    if index is None:
        few = f"fewer than {plan.dense.flat_below} passages are compared one by one"
        return Place(f"{few}; lists are made of more")
    return Place("its clone is due")


class Placing:
    """Looks after the clones of one worker's editions; lives in the event loop."""

    def __init__(
        self, lanes: Lanes, changing: asyncio.Lock, log: Logger, kept: Callable[[Edition], bool]
    ) -> None:
        """``changing`` is held by whoever changes a collection, and here while one is cloned.

        ``kept``: whether an edition is looked after still; it ends while ``changing`` is held.
        """
        self._lanes = lanes
        self._changing = changing
        self._log = log
        self._kept = kept
        self.device: ToDevice | None = None
        """What clones; None leaves every search to the CPU."""
        self.places: dict[tuple[str, str], Place] = {}
        """Where each collection is searched, with its component; nothing without a device."""
        self.on_change: Callable[[], None] = lambda: None
        """Called when one of them changed."""
        self.wake: Callable[[], None] = lambda: None
        """Called when a device failed: :meth:`place` should look again."""

    async def place(self, edition: Edition) -> None:
        """Clone an edition's IVF lists when a clone is due; searches go on meanwhile, changes wait.

        Of an edition that was released nothing is cloned and nothing said.
        """
        if self.device is None:
            return
        await self._clone(edition, self.device)
        if self._kept(edition):
            self._tell(edition)

    def forget(self, edition: Edition) -> None:
        """Say nothing more of an edition that was released."""
        self.places.pop(_about(edition), None)

    async def _clone(self, edition: Edition, device: ToDevice) -> None:
        index = edition.index
        if type(index) is IvfLists:  # not its subclass of codes, which no clone here can hold
            loop = asyncio.get_running_loop()

            def failed(where: str) -> None:  # in the thread that searched or cloned
                loop.call_soon_threadsafe(self._fell_back, where)

            index = OnDevice(index, device, failed)
        if not isinstance(index, OnDevice) or not index.stale:
            return
        before = edition.index
        async with self._changing:
            if not self._kept(edition):
                return  # released while we waited; from here on it cannot be
            clone = await self._lanes.build(index.clone)
            await self._lanes.search(_adopt, edition, before, index, clone)

    def _tell(self, edition: Edition) -> None:
        about = _about(edition)
        place = place_of(edition)
        if self.places.get(about) == place:
            return
        self.places[about] = place
        self._log.info("index_placed", collection=about[0], component=about[1], detail=str(place))
        if edition.plan.index.kind != _FIT and not edition.collection.afar:
            RETRIEVER_DEVICE_FALLBACK.labels("kind").inc()
        self.on_change()

    def _fell_back(self, where: str) -> None:
        RETRIEVER_DEVICE_FALLBACK.labels(where).inc()
        self._log.warning("device_given_up", kind=where, detail="the CPU answers from here on")
        self.wake()


def _about(edition: Edition) -> tuple[str, str]:
    return edition.collection.row.name, edition.component


def _adopt(
    edition: Edition, before: DenseIndex | None, index: OnDevice, clone: Clone | None
) -> None:
    """In the search thread: nothing that replaced the index meanwhile is replaced in turn."""
    if edition.index is not before:
        return
    if clone is not None:
        index.adopt(clone)
    edition.index = index  # also without a clone: one that was given up is not tried at every turn
