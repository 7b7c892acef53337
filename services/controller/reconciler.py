"""The one loop of the controller: collect, judge (pure), move (pure), write, tell.

Only the leader acts, every write carries its lease epoch, and the state read before the decision is
the one the write replaces: whoever was fenced out, or decided on old facts, loses the race.
"""

import asyncio
import math
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import msgspec

from services.controller.analysis import Verdict
from services.controller.evaluations import Evaluations
from services.controller.policy import Answer, Policy
from services.controller.rollout import Event, Move, advance
from services.controller.watched import LOOK_S, Watched
from trimtab.contracts.control import (
    ACTIVE_PHASES,
    Canary,
    ControlState,
    Convergence,
    Phase,
    Switch,
)
from trimtab.contracts.errors import TrimtabError
from trimtab.contracts.orders import Finding, KillCommand, Order, SetCommand
from trimtab.contracts.samples import Sample
from trimtab.control.commands import promoted, rolled_back
from trimtab.control.effective import Controls
from trimtab.control.execute import execute
from trimtab.control.feed import ControlFeed
from trimtab.control.lease import Lease
from trimtab.control.store import ControlStore
from trimtab.telemetry.logs import Logger
from trimtab.telemetry.metrics import CANARY_WEIGHT, GUARDRAIL_EVIDENCE, ROLLOUT_MOVES

ACTOR = "controller"

Notice = Callable[[Move, Verdict, int, int], Awaitable[None]]


@dataclass
class Reconciler:
    """Ramps a canary by its policy while this controller leads."""

    store: ControlStore
    feed: ControlFeed
    lease: Lease
    policies: dict[str, Policy]
    convergence: Callable[[], Convergence]
    log: Logger
    notice: Notice
    """Told of every move, for the audit."""
    evaluations: Evaluations = field(default_factory=Evaluations)
    """Shared with whoever hears them."""
    _inbox: deque[Sample] = field(default_factory=deque)
    _heard_at: float = field(default_factory=time.monotonic)
    _watched: Watched = field(default_factory=Watched)

    @property
    def verdict(self) -> Verdict | None:
        """Verdict of the last look at the step that a canary is on now; None before it."""
        canary = self.feed.current.state.canary if self.feed.current is not None else None
        return self._watched.of(canary) if canary else None

    def hear(self, sample: Sample) -> None:
        """Take one sample."""
        self._inbox.append(sample)
        self._heard_at = time.monotonic()

    async def run(self) -> None:
        """Look once a second until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            samples = list(self._inbox)
            self._inbox.clear()
            try:
                await self.look(samples, time.time())
            except TrimtabError as error:
                # Lost race, bus away, interlock: the next look starts from what is true then.
                self.log.warning("look_failed", error=type(error).__name__, detail=error.detail)

    async def look(self, samples: list[Sample], now: float) -> None:
        """One round: learn from the samples, and when leading, move."""
        controls = self.feed.current
        if controls is None or controls.state.canary is None:
            return
        canary = controls.state.canary
        CANARY_WEIGHT.set(canary.weight_bp)
        policy = self.policies.get(canary.policy)
        if policy is None or canary.phase not in ACTIVE_PHASES:
            return
        verdict = self._judge(samples, controls, canary, policy, now)
        if not self.lease.held or controls.state.freeze is not None:
            return
        epoch, answered = self.lease.epoch, self._watched.answered
        written_at = controls.state.at
        move = advance(canary, verdict, policy, answered=answered, now=now, written_at=written_at)
        if move.canary != canary or move.answer is not None:
            await self._carry_out(move, self._explained(move, canary, verdict), controls, epoch)
        elif canary.step_since == 0.0 and canary.phase is not Phase.PAUSED:
            await self._begin_step(controls, canary, policy, now, epoch)

    def _judge(
        self,
        samples: list[Sample],
        controls: Controls,
        canary: Canary,
        policy: Policy,
        now: float,
    ) -> Verdict:
        self._watched, verdict = self._watched.after(
            samples,
            canary,
            controls.state.stable,
            policy,
            silent_s=time.monotonic() - self._heard_at,
            evaluation=self.evaluations.of(controls.named(canary.release), now),
        )
        for guardrail, test in zip(policy.guardrails, self._watched.evidence.tests, strict=True):
            GUARDRAIL_EVIDENCE.labels(guardrail.name).set(test.log_evidence)
        return verdict

    def _explained(self, move: Move, canary: Canary, verdict: Verdict) -> Verdict:
        """Return the verdict with who holds the canary up, when that is why it is taken back."""
        if move.event is not Event.HELD_TOO_LONG or canary.step_since > 0.0:
            return verdict
        lagging = ", ".join(self.convergence().lagging)[:300]
        return replace(verdict, reason=f"not everybody obeys it: {lagging or 'now they do'}")

    async def _begin_step(
        self, controls: Controls, canary: Canary, policy: Policy, now: float, epoch: int
    ) -> None:
        """Set the step's weight; once the fleet has converged on it, start its clock."""
        wanted = policy.steps[canary.step].weight_bp
        if canary.weight_bp != wanted:
            canary = msgspec.structs.replace(canary, weight_bp=wanted)
        elif self.convergence().status == "converged":
            canary = msgspec.structs.replace(canary, step_since=now)
        else:
            return
        state = msgspec.structs.replace(controls.state, canary=canary)
        reason = f"step {canary.step} at {canary.weight_bp / 100:g} %"
        await self._put(controls, state, reason, now, epoch)

    def _leads(self, epoch: int) -> bool:
        """Whether we lead still, under the lease that a decision was made under."""
        return self.lease.held and self.lease.epoch == epoch

    async def _carry_out(
        self, move: Move, verdict: Verdict, controls: Controls, epoch: int
    ) -> None:
        now = time.time()
        if move.answer is not None:
            decided_on = controls.state.canary
            await self._answer(move.answer, verdict.reason, now, epoch)
            self._watched = self._watched.with_answer()
            controls = await self.store.read()
            if controls.state.canary != decided_on or not self._leads(epoch):
                return  # an operator or the next leader was quicker; the next look knows
        state = controls.state
        reason = f"{move.event.value}: {verdict.reason}"[:500]
        match move.event:
            case Event.LAST_STEP_PASSED:
                state = promoted(state, reason)
            case Event.CRITICAL_FAILED | Event.HELD_TOO_LONG:
                state = rolled_back(state, reason)
            case _:
                state = msgspec.structs.replace(state, canary=move.canary)
        await self._put(controls, state, reason, now, epoch)
        ROLLOUT_MOVES.labels(move.event.name.lower()).inc()
        self.log.warning(
            "rollout_moved",
            verdict=verdict.outcome.value,
            reason=reason,
            to_state=move.canary.phase.value,
            revision=controls.revision,
        )
        await self.notice(move, verdict, self.feed.required.revision, epoch)

    async def _answer(self, answer: Answer, reason: str, now: float, epoch: int) -> None:
        """Throw the settings and switches of a guardrail's answer."""
        commands: list[SetCommand | KillCommand] = [
            SetCommand(name=name, value=value) for name, value in answer.set.items()
        ]
        kills = (
            KillCommand(switch=Switch(name), value=value) for name, value in answer.kill.items()
        )
        commands += [kill for kill in kills if not self._killed_already(kill, now)]

        def fence(_before: Controls, _after: ControlState, _order: Order) -> list[Finding]:
            detail = f"decided under lease epoch {epoch}"
            return [Finding(interlock="lease", ok=self._leads(epoch), detail=detail)]

        for command in commands:
            order = Order(
                operation=uuid.uuid4().hex, command=command, actor=ACTOR, reason=reason[:500]
            )
            _, controls = await execute(self.store, order, now=now, epoch=epoch, interlocks=fence)
            await self.feed.apply(controls)

    def _killed_already(self, command: KillCommand, now: float) -> bool:
        """Return whether somebody threw this switch for at least as long: we must not shorten it."""
        until = math.inf if command.ttl_s is None else now + command.ttl_s
        return any(
            (kill.switch, kill.value, kill.tenant, kill.detector)
            == (command.switch, command.value, "", "")
            and (kill.expires_at is None or kill.expires_at >= until)
            for kill in self.feed.required.kills(now)
        )

    async def _put(
        self, controls: Controls, state: ControlState, reason: str, now: float, epoch: int
    ) -> None:
        """Write the state under the lease that the decision was made under, whoever leads by now."""
        stamped = msgspec.structs.replace(
            state,
            operation=uuid.uuid4().hex,
            epoch=epoch,
            actor=ACTOR,
            reason=reason,
            at=now,
        )
        revision = await self.store.write_state(stamped, controls.state_revision)
        after = Controls(stamped, revision, controls.lane, controls.lane_revision)
        await self.store.hint(after)
        await self.feed.apply(after)
