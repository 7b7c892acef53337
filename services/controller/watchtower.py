"""The emergency triggers, evaluated once a second; only the leader acts on them.

A rollback is decided on one revision and carried out on no other, and every clock starts anew when other
releases serve: two triggers of one cause, or two controllers, take back one release, not also the one
before it.
"""

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from services.controller.evaluations import Evaluations
from services.controller.recorder import Recorder
from services.controller.rollout import MOVES
from services.controller.triggers import METRICS, Heard, Watch, step
from trimtab.contracts.errors import RevisionConflict, TrimtabError
from trimtab.contracts.orders import Order, RollBackCommand
from trimtab.contracts.samples import Sample
from trimtab.control.feed import ControlFeed
from trimtab.control.lease import Lease
from trimtab.telemetry.logs import Logger
from trimtab.telemetry.metrics import TRIGGERS_FIRED

SPAN_S = 60.0
"""Samples that a metric of a condition is measured over."""

_LOOK_S = 1.0
Carry = Callable[[Order], Awaitable[object]]


@dataclass
class Watchtower:
    """Watches every trigger of the file."""

    watches: tuple[Watch, ...]
    feed: ControlFeed
    lease: Lease
    carry_out: Carry
    recorder: Recorder
    log: Logger
    evaluations: Evaluations = field(default_factory=Evaluations)
    """Shared with whoever hears them."""
    _samples: deque[Sample] = field(default_factory=deque)
    _serving: tuple[str, str] = ("", "")

    def hear(self, sample: Sample) -> None:
        """Take one sample."""
        self._samples.append(sample)

    async def run(self) -> None:
        """Look once a second until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            await self.look(time.time())

    async def look(self, now: float) -> None:
        """Measure every condition; act on those that fire with this look."""
        while self._samples and self._samples[0].at < now - SPAN_S:
            self._samples.popleft()
        before = self._of_what_serves()
        heard = Heard(list(self._samples), self.evaluations.of(self._serving, now))
        self.watches = tuple(
            step(watch, METRICS[watch.condition.metric](heard), now) for watch in before
        )
        if not self.lease.held:  # whoever leads next acts on what lasts
            self.watches = tuple(replace(watch, fired=False) for watch in self.watches)
        fired = [
            new
            for old, new in zip(before, self.watches, strict=True)
            if new.fired and not old.fired
        ]
        for watch in fired:
            await self._say(watch)
        back = next((watch for watch in fired if watch.trigger.action == "rollback"), None)
        if back is not None:
            await self._roll_back(back)

    def _of_what_serves(self) -> tuple[Watch, ...]:
        """Return the watches, their clocks at the start when other releases serve than at the last look."""
        controls = self.feed.current
        if controls is None:
            return self.watches
        canary = controls.state.canary
        ramped = canary.release if canary is not None and MOVES[canary.phase] else ""
        serving = (controls.state.stable, ramped)
        if serving == self._serving:
            return self.watches
        self._serving = serving
        return tuple(replace(watch, since=None, fired=False) for watch in self.watches)

    async def _say(self, watch: Watch) -> None:
        if self.feed.current is not None:
            TRIGGERS_FIRED.labels(watch.trigger.name).inc()
            await self.recorder.fired(watch, self.feed.current.revision, self.lease.epoch)

    async def _roll_back(self, watch: Watch) -> None:
        controls = self.feed.current
        if controls is None or controls.state.freeze is not None or not self.lease.held:
            return
        order = Order(
            operation=uuid.uuid4().hex,
            command=RollBackCommand(),
            actor=f"trigger:{watch.trigger.name}",
            reason=f"{watch.trigger.condition}, measured {watch.measured}",
            expect_revision=controls.revision,
        )
        try:
            await self.carry_out(order)
        except RevisionConflict:
            # Somebody changed something meanwhile: decide again, on what is in force then.
            self._again(watch)
        except TrimtabError as error:
            self.log.warning("trigger_could_not_roll_back", error=error.detail)

    def _again(self, watch: Watch) -> None:
        self.watches = tuple(
            replace(each, fired=False) if each.trigger is watch.trigger else each
            for each in self.watches
        )
