"""Emergency triggers and alerts, evaluated once a second; only the leader acts on them.

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

from services.controller.budgets import Budget, burning
from services.controller.evaluations import Evaluations
from services.controller.memory import Memory
from services.controller.readings import METRICS, Heard, Reading, worst_lag
from services.controller.recorder import Recorder
from services.controller.rollout import MOVES
from services.controller.triggers import Watch, step
from trimtab.contracts.control import Switch
from trimtab.contracts.errors import RevisionConflict, TrimtabError
from trimtab.contracts.orders import Order, RollBackCommand
from trimtab.contracts.samples import Sample
from trimtab.control.feed import ControlFeed
from trimtab.control.lease import Lease
from trimtab.telemetry.logs import Logger
from trimtab.telemetry.metrics import ALERT_FIRING, TRIGGERS_FIRED

LONGER = 10
"""Times as many seconds are looked at where these hold too few requests to say anything."""

LAG_SPANS = 5
"""Times as many seconds over which the worst queue lag is taken: runbook 2 says five minutes."""

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
    span_s: float = 60.0
    """Seconds of samples that a condition is measured over."""
    budgets: tuple[Budget, ...] = ()
    """Error budgets; somebody else has them count."""
    _samples: deque[Sample] = field(default_factory=deque)
    _memory: Memory = field(default_factory=Memory)
    _serving: tuple[str, str] = ("", "")

    def hear(self, sample: Sample) -> None:
        """Take one sample."""
        self._samples.append(sample)
        self._memory.hear(sample)

    async def run(self) -> None:
        """Look once a second until cancelled."""
        for watch in self.watches:  # Prometheus counts a rise only from a number that it has seen
            TRIGGERS_FIRED.labels(watch.trigger.name).inc(0)
            ALERT_FIRING.labels(watch.trigger.name, watch.trigger.severity).set(0)
        while True:
            await asyncio.sleep(_LOOK_S)
            await self.look(time.time())

    async def look(self, now: float) -> None:
        """Measure every condition; act on those that fire with this look."""
        while self._samples and self._samples[0].at < now - LONGER * self.span_s:
            self._samples.popleft()
        shown, before = self.watches, self._of_what_serves()
        recent = self._heard(now, self.span_s)
        longer = self._heard(now, LONGER * self.span_s)
        self.watches = tuple(
            step(watch, _measured(watch, recent, longer), now, inhibited=self._wanted(watch, now))
            for watch in before
        )
        if not self.lease.held:  # whoever leads next acts on what lasts
            self.watches = tuple(replace(watch, fired=False) for watch in self.watches)
        for old, new in zip(shown, self.watches, strict=True):
            if old.fired and not new.fired:
                await self._unsay(new)
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

    def _heard(self, now: float, span_s: float) -> Heard:
        controls = self.feed.current
        serving = [] if controls is None else controls.named(*self._serving)
        return Heard(
            [sample for sample in self._samples if sample.at >= now - span_s],
            self.evaluations.of(serving, now),
            self._lag(now),
            self._memory.growth(now),
            burning(self.budgets, now),
        )

    def _lag(self, now: float) -> Reading | None:
        oldest = now - LAG_SPANS * self.span_s
        return worst_lag(sample for sample in self._samples if sample.at >= oldest)

    def _wanted(self, watch: Watch, now: float) -> bool:
        """Whether an order in force for everybody asks for what the watch would complain of."""
        controls = self.feed.current
        if watch.trigger.inhibited_by != "rules_only" or controls is None:
            return False
        return any(
            kill.switch is Switch.MAPPER_MODE and not kill.tenant and not kill.detector
            for kill in controls.kills(now)
        )

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
            ALERT_FIRING.labels(watch.trigger.name, watch.trigger.severity).set(1)
            await self.recorder.fired(watch, self.feed.current.revision, self.lease.epoch)

    async def _unsay(self, watch: Watch) -> None:
        ALERT_FIRING.labels(watch.trigger.name, watch.trigger.severity).set(0)
        if self.feed.current is not None and self.lease.held:
            await self.recorder.cleared(watch, self.feed.current.revision, self.lease.epoch)

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


def _measured(watch: Watch, recent: Heard, longer: Heard) -> Reading | None:
    measure = METRICS[watch.condition.metric]
    reading = measure(recent)
    enough = reading is not None and reading.requests >= watch.trigger.min_requests
    return reading if enough or watch.trigger.min_requests == 1 else measure(longer)
