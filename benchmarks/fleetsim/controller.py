"""A simulated controller: the real lease, leader, reconciler and judge, wired as the service wires them."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast

import nats.errors

from benchmarks.fleetsim.host import Host, Silence, WatchedFeed
from benchmarks.fleetsim.ramp import POLICY
from services.controller.analysis import Verdict
from services.controller.convergence import Acknowledgements
from services.controller.fleet import Fleet
from services.controller.leadership import Leadership
from services.controller.reconciler import Reconciler
from services.controller.rollout import Move
from services.controller.status import converged
from trimtab.contracts import subjects
from trimtab.contracts.component import Release
from trimtab.contracts.control import Applied, Convergence
from trimtab.contracts.errors import TrimtabError
from trimtab.contracts.message import decode
from trimtab.contracts.samples import Sample
from trimtab.control.lease import Lease
from trimtab.control.store import ControlStore

_WINDOW_S, _FORGET_AFTER_S = 5.0, 10.0


@dataclass
class Controller:
    """One controller: leads when it can, judges and moves when it leads."""

    host: Host
    first: Release
    _fleet: Fleet = field(default_factory=lambda: Fleet(_WINDOW_S, _FORGET_AFTER_S))
    _words: Acknowledgements = field(default_factory=Acknowledgements)
    _tasks: "list[asyncio.Task[None]]" = field(default_factory=list)

    async def run(self) -> None:
        """Start, trying again while the bus is away, then run for ever."""
        connection, feed = self.host.feed("controller")
        bus = cast("Any", connection)
        while True:
            try:
                store = await ControlStore.open(bus, create=True)
                await feed.apply(await store.initialise(self.first, "controller/first"))
                lease = await Lease.open(bus, self.host.machine.name)
            except (TrimtabError, nats.errors.Error):
                await asyncio.sleep(1.0)
                continue
            break
        await feed.start(bus)
        self._begin(store, feed, lease)
        await connection.subscribe(subjects.SAMPLES, self._sampled)
        await connection.subscribe(subjects.APPLIED, self._acknowledged)
        while True:
            await asyncio.sleep(2.0)
            self._fleet.forget(self.host.clocks.time())

    def _begin(self, store: ControlStore, feed: WatchedFeed, lease: Lease) -> None:
        log, now = cast("Any", Silence()), self.host.clocks.monotonic()
        self._feed = feed
        self._reconciler = Reconciler(
            store, feed, lease, {POLICY.name: POLICY}, self._convergence, log, self._moved
        )
        lease._seen_at = self._reconciler._heard_at = now  # bound to the real clock as well
        leadership = Leadership(store, feed, lease, log)
        self._tasks = [
            asyncio.create_task(leadership.run()),
            asyncio.create_task(self._reconciler.run()),
        ]

    async def _sampled(self, message: Any) -> None:
        sample = decode(Sample, message.data)
        self._fleet.add(sample, self.host.clocks.time())
        self._reconciler.hear(sample)
        self.host.oracle.documents.judged(self.host.machine, sample)

    async def _acknowledged(self, message: Any) -> None:
        self._words.add(decode(Applied, message.data))

    async def _moved(self, move: Move, verdict: Verdict, _revision: int, _epoch: int) -> None:
        self.host.oracle.documents.moved(move, verdict)

    def _convergence(self) -> Convergence:
        now = self.host.clocks.time()
        return converged(self._feed.required, self._fleet.status(now), self._words, now)
