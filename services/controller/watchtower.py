"""The emergency triggers, evaluated once a second; only the leader acts on them."""

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from services.controller.recorder import Recorder
from services.controller.triggers import METRICS, Watch, step
from trimtab.contracts.control import Order, RollBackCommand
from trimtab.contracts.errors import TrimtabError
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
    _samples: deque[Sample] = field(default_factory=deque)

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
        samples = list(self._samples)
        before = self.watches
        self.watches = tuple(
            step(watch, METRICS[watch.condition.metric](samples), now) for watch in before
        )
        for old, new in zip(before, self.watches, strict=True):
            if new.fired and not old.fired and self.lease.held:
                await self._fire(new)

    async def _fire(self, watch: Watch) -> None:
        controls = self.feed.current
        if controls is None:
            return
        TRIGGERS_FIRED.labels(watch.trigger.name).inc()
        await self.recorder.fired(watch, controls.revision, self.lease.epoch)
        if watch.trigger.action != "rollback" or controls.state.freeze is not None:
            return
        order = Order(
            operation=uuid.uuid4().hex,
            command=RollBackCommand(),
            actor=f"trigger:{watch.trigger.name}",
            reason=f"{watch.trigger.condition}, measured {watch.measured}",
        )
        try:
            await self.carry_out(order)
        except TrimtabError as error:
            self.log.warning("trigger_could_not_roll_back", error=error.detail)
