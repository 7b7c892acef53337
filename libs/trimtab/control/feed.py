"""How a worker learns of control changes, prepares for them and obeys.

Three paths lead to one pure merge: the hint after a write, the heartbeat that names newer revisions,
and a re-read at start, on reconnect and every 5 s. A worker that was frozen notices by its own clock
and reads again before it answers anything.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg

from trimtab.bus.connection import settle
from trimtab.bus.ending import end
from trimtab.contracts import subjects
from trimtab.contracts.control import Heartbeat, Hint
from trimtab.contracts.errors import BusUnavailable, InvalidMessage, NotReady, TrimtabError
from trimtab.contracts.message import decode
from trimtab.control.acknowledging import Acknowledger, Standing
from trimtab.control.applying import View, heard, merge, with_lane
from trimtab.control.effective import Controls, effective_hash
from trimtab.control.heartbeats import LEASE_S, Heartbeats
from trimtab.control.lastgood import KEEP_S, LastGood
from trimtab.control.pulse import TICK_S, Pulse
from trimtab.control.store import ControlStore
from trimtab.telemetry.logs import Logger

REREAD_S = 5.0
"""How often the documents are read although nothing was heard."""

Prepare = Callable[[Controls], Awaitable[None]]
"""Loads what the new controls need, off the hot path; raises TrimtabError to refuse them."""


async def _nothing_to_prepare(_controls: Controls) -> None:
    return


@dataclass
class ControlFeed:
    """One worker's obedience."""

    service: str
    """For the acknowledgement's subject."""
    instance: str
    """The same."""
    log: Logger
    """State changes are its only warnings."""
    cache: Path
    """File of the last good documents."""
    prepare: Prepare = _nothing_to_prepare
    """Set by the service before :meth:`start`."""
    lease_s: float = LEASE_S
    """A canary gets nothing once no heartbeat came for this long: controller dead, or we are cut off."""
    _view: View = field(default_factory=View)
    _connection: NatsClient | None = None
    _pulse: Pulse = field(default_factory=Pulse)
    _applying: asyncio.Lock = field(default_factory=asyncio.Lock)
    _tasks: "list[asyncio.Task[None]]" = field(default_factory=list)
    _working: "set[asyncio.Task[Any]]" = field(default_factory=set)
    _heartbeats: Heartbeats = field(init=False)
    _last_good: LastGood = field(init=False)
    _acknowledger: Acknowledger = field(init=False)

    def __post_init__(self) -> None:
        self._heartbeats = Heartbeats(self.lease_s)
        self._last_good = LastGood(self.cache, self.log)
        self._acknowledger = Acknowledger(self.service, self.instance, self.log)

    @property
    def current(self) -> Controls | None:
        """What is in force; a request reads it once, at its start. None before the first state."""
        return self._view.controls

    @property
    def required(self) -> Controls:
        """What is in force.

        Raises:
            NotReady: nobody wrote a state yet.
        """
        if self._view.controls is None:
            raise NotReady("the control state")
        return self._view.controls

    @property
    def leased(self) -> bool:
        """Whether a heartbeat renewed the canary's lease, by this process's monotonic clock."""
        return self._heartbeats.leased

    @property
    def stale(self) -> bool:
        """Whether heartbeats came once and stopped for 15 s."""
        return self._heartbeats.stale

    @property
    def hash(self) -> str:
        """Hash of the configuration in force; empty before the first state."""
        if self._view.controls is None:
            return ""
        return effective_hash(self._view.controls, now=time.time(), leased=self.leased)

    async def start(self, connection: NatsClient) -> None:
        """Subscribe, read the documents once, then keep following."""
        self._connection = self._acknowledger.connection = connection
        await connection.subscribe(subjects.HINT, cb=self._hinted)
        await connection.subscribe(subjects.HEARTBEAT, cb=self._beat)
        await settle(connection)
        if not await self.refresh() and (kept := await self._last_good.recall()) is not None:
            await self.apply(kept)
        following = (self._reread(), self._tick(), self._keep_forever())
        self._tasks = [asyncio.create_task(task) for task in following]

    async def wait(self) -> Controls:
        """Wait for the first state: a gateway has nothing to serve without one."""
        while self._view.controls is None:
            await asyncio.sleep(TICK_S)
            await self.refresh()
        return self._view.controls

    async def stop(self) -> None:
        """Stop following."""
        await end(*self._tasks, *self._working)
        await self._last_good.keep(self.current)

    async def awake(self) -> None:
        """Read again when this process was frozen: a request must not be served from the old state.

        Costs one clock reading otherwise.
        """
        if self._pulse.missed:
            self._thaw()
        await self._pulse.caught_up()

    def _thaw(self) -> None:
        self._spawn(self._catch_up(self._pulse.thaw()))

    async def _catch_up(self, thawed_at: float) -> None:
        """Read what was missed while this process was frozen; who waits goes on even if it cannot be."""
        try:
            await self.refresh()
        finally:
            self._pulse.tried(thawed_at)

    async def refresh(self) -> bool:
        """Read both documents; one that cannot be read leaves the last good ones in force."""
        if self._connection is None:
            return False
        began_at = time.monotonic()
        try:
            store = await ControlStore.open(self._connection)
            controls = await store.read()
        except (NotReady, BusUnavailable):
            return False
        except InvalidMessage as error:
            await self._refused(self.revision, str(error))
            return False
        await self.apply(controls)
        self._pulse.have_read(began_at)
        return True

    @property
    def revision(self) -> int:
        """Newest revision up to which everything is obeyed; 0 before the first state."""
        return self._view.revision

    async def apply(self, offered: Controls) -> None:
        """Obey what is newer, and say so; repeat is a no-op.

        Kills are in force when this first yields: they need no preparation, and must not wait for a
        state that is being prepared or was refused.
        """
        began, known = time.perf_counter(), self._view.controls
        self._view = with_lane(self._view, offered)
        if self._view.controls is not known:
            await self._obeyed(_since(began))
        async with self._applying:
            await self._take_state(offered, began)

    async def _take_state(self, offered: Controls, began: float) -> None:
        """Prepare for a newer state off the hot path, then swap the one reference; a NACK keeps the old."""
        view = await self._newer(offered, began)
        if view is None or view.controls is None:
            return
        try:
            await self.prepare(view.controls)
        except TrimtabError as error:
            await self._refused(view.revision, error.detail, _since(began))
            return
        # Meanwhile a kill may have come, or another lease.
        view = await self._newer(offered, began)
        if view is not None:
            self._view = view
            await self._obeyed(_since(began))

    async def _newer(self, offered: Controls, began: float) -> View | None:
        """Return the view with what is newer, None when nothing is; a fenced state is refused aloud."""
        view, refusal = merge(self._view, offered)
        if refusal is not None:
            await self._refused(refusal.revision, refusal.why, _since(began))
        return None if view is self._view else view

    @property
    def _standing(self) -> Standing:
        return Standing(self.revision, self.hash, self.leased, self.stale)

    async def _obeyed(self, apply_ms: float) -> None:
        await self._acknowledger.obeyed(self._standing, apply_ms)

    async def _refused(self, revision: int, reason: str, apply_ms: float = 0.0) -> None:
        await self._acknowledger.refused(revision, reason, self._standing, apply_ms)

    async def _hinted(self, message: Msg) -> None:
        try:
            hint = decode(Hint, message.data)
        except InvalidMessage as error:
            await self._refused(self.revision, str(error))
            return
        # Not awaited: the next hint may be a kill, and would wait until this one's state is prepared.
        self._spawn(
            self.apply(Controls(hint.state, hint.state_revision, hint.lane, hint.lane_revision))
        )

    async def _beat(self, message: Msg) -> None:
        try:
            beat = decode(Heartbeat, message.data)
        except InvalidMessage:
            return
        if beat.epoch < self._view.epoch:
            return  # a controller that was fenced out renews nobody's lease
        self._view = heard(self._view, beat.epoch)
        if self._pulse.steady:  # else it may have waited while this process was frozen
            self._heartbeats.hear()
        known = self._view.controls
        behind = known is None or (
            beat.state_revision > self._view.offered or beat.lane_revision > known.lane_revision
        )
        if behind:
            self._spawn(self.refresh())  # nor may the heartbeats after this one wait

    def _spawn(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.create_task(work)
        self._working.add(task)
        task.add_done_callback(self._working.discard)

    async def _reread(self) -> None:
        while True:
            await asyncio.sleep(REREAD_S)
            await self.refresh()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            if self._pulse.missed:
                self._thaw()
            self._pulse.tick()
            if self._view.controls is not None:
                await self._acknowledger.watch(self._standing)

    async def _keep_forever(self) -> None:
        while True:
            await asyncio.sleep(KEEP_S)
            await self._last_good.keep(self.current)


def _since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 3)
