"""The rollout's state machine. Rule 1: everything that decides a rollout's next move is in this file.

Theory of operation: a look at the canary gives a verdict; :func:`event_of` turns verdict, policy and
time into one event; ``MOVES`` says which phase that event leads to from the present one; a missing
key is an illegal move. What the move does to weight and step is in :func:`advance`. No I/O, no clock.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from services.controller.analysis import Outcome, Verdict
from services.controller.policy import Answer, Policy
from trimtab.contracts.control import Canary, Phase


class Event(StrEnum):
    """What happened to a rollout."""

    KEEP_WATCHING = "keep watching"
    STEP_PASSED = "step passed"
    LAST_STEP_PASSED = "last step passed"
    GUARDRAIL_ANSWERED = "guardrail answered"
    CRITICAL_FAILED = "critical guardrail failed"
    SIGNAL_FAILED = "signal guardrail failed"
    NOT_JUDGEABLE = "not judgeable"
    RECOVERED = "recovered"
    HELD_TOO_LONG = "held too long"


MOVES: dict[Phase, dict[Event, Phase]] = {
    Phase.RUNNING: {
        Event.KEEP_WATCHING: Phase.RUNNING,
        Event.STEP_PASSED: Phase.RUNNING,
        Event.LAST_STEP_PASSED: Phase.PROMOTED,
        Event.GUARDRAIL_ANSWERED: Phase.RUNNING,
        Event.CRITICAL_FAILED: Phase.ROLLED_BACK,
        Event.SIGNAL_FAILED: Phase.HOLDING,
        Event.NOT_JUDGEABLE: Phase.HOLDING,
        Event.HELD_TOO_LONG: Phase.ROLLED_BACK,
    },
    Phase.HOLDING: {
        Event.KEEP_WATCHING: Phase.HOLDING,
        Event.GUARDRAIL_ANSWERED: Phase.RUNNING,
        Event.CRITICAL_FAILED: Phase.ROLLED_BACK,
        Event.SIGNAL_FAILED: Phase.HOLDING,
        Event.NOT_JUDGEABLE: Phase.HOLDING,
        Event.RECOVERED: Phase.RUNNING,
        Event.HELD_TOO_LONG: Phase.ROLLED_BACK,
    },
    Phase.PAUSED: {
        # A person holds it; only a critical failure moves it, and only to safety.
        Event.KEEP_WATCHING: Phase.PAUSED,
        Event.CRITICAL_FAILED: Phase.ROLLED_BACK,
    },
    Phase.PROMOTED: {},
    Phase.ROLLED_BACK: {},
    Phase.ABORTED: {},
}
"""Phase -> event -> phase. The last three are terminal: nothing restarts by itself."""


class IllegalMove(Exception):
    """An event that the present phase does not know; nothing was changed."""

    def __init__(self, phase: Phase, event: Event) -> None:
        super().__init__(f"{event.value} in phase {phase.value}")
        self.phase, self.event = phase, event


@dataclass(frozen=True, slots=True)
class Move:
    """One decision."""

    event: Event
    canary: Canary
    """After the move."""
    answer: Answer | None = None
    """Settings and switches to throw with it."""


def event_of(
    canary: Canary, verdict: Verdict, policy: Policy, answered: int, now: float, written_at: float
) -> tuple[Event, Answer | None]:
    """Return what a look means for a rollout; ``answered`` is how many answers were tried already.

    Before the fleet has converged on a step nothing passes, but what fails already has failed, and a
    fleet that never converges, because a worker cannot load the release, holds the canary too long.
    """
    step = policy.steps[canary.step]
    begun = canary.step_since > 0.0
    on_step_s = now - (canary.step_since if begun else written_at)
    if canary.phase is Phase.PAUSED:
        critical = any(f.guardrail.severity == "critical" for f in verdict.failed)
        return (Event.CRITICAL_FAILED if critical else Event.KEEP_WATCHING), None
    if verdict.outcome is Outcome.FAIL:
        return _failed(verdict, answered)
    if on_step_s > (step.hold_s if begun else 0.0) + policy.max_hold_s:
        return Event.HELD_TOO_LONG, None
    if not begun:
        return Event.KEEP_WATCHING, None
    if verdict.outcome is Outcome.ERROR:
        return Event.NOT_JUDGEABLE, None
    if canary.phase is Phase.HOLDING:
        return Event.RECOVERED, None
    if verdict.outcome is Outcome.INCONCLUSIVE or on_step_s < step.hold_s:
        return Event.KEEP_WATCHING, None
    last = canary.step == len(policy.steps) - 1
    return (Event.LAST_STEP_PASSED if last else Event.STEP_PASSED), None


def _failed(verdict: Verdict, answered: int) -> tuple[Event, Answer | None]:
    worst = next(f for f in verdict.failed if f.guardrail.severity != "info")
    if answered < len(worst.guardrail.answers):
        return Event.GUARDRAIL_ANSWERED, worst.guardrail.answers[answered]
    critical = worst.guardrail.severity == "critical"
    return (Event.CRITICAL_FAILED if critical else Event.SIGNAL_FAILED), None


def advance(
    canary: Canary,
    verdict: Verdict,
    policy: Policy,
    *,
    answered: int,
    now: float,
    written_at: float = math.inf,
) -> Move:
    """Return the next move of a rollout; ``written_at`` is when its state was written, unix seconds.

    Raises:
        IllegalMove: the phase is terminal, or does not know the event.
    """
    event, answer = event_of(canary, verdict, policy, answered, now, written_at)
    phase = MOVES[canary.phase].get(event)
    if phase is None:
        raise IllegalMove(canary.phase, event)
    changes: dict[str, object] = {"phase": phase}
    if event is not Event.KEEP_WATCHING and (phase is not canary.phase or answer is not None):
        changes["cause"] = f"{event.value}: {verdict.reason}"[:500]
    if event is Event.STEP_PASSED:
        step = canary.step + 1
        changes |= {
            "step": step,
            "weight_bp": policy.steps[step].weight_bp,
            "step_since": 0.0,
            "cause": f"{event.value}: {verdict.reason}"[:500],
        }
    elif event is Event.GUARDRAIL_ANSWERED:
        changes["step_since"] = 0.0
    elif phase in (Phase.PROMOTED, Phase.ROLLED_BACK):
        changes["weight_bp"] = 0
    return Move(event, msgspec.structs.replace(canary, **changes), answer)


def diagram() -> str:
    """Return the table as a mermaid state diagram, for the docs."""
    lines = ["stateDiagram-v2", "    [*] --> running: canary start"]
    for phase, moves in MOVES.items():
        for event, target in moves.items():
            if target is not phase or event is Event.STEP_PASSED:
                lines.append(f"    {phase.value} --> {target.value}: {event.value}")
    lines += [f"    {phase.value} --> [*]" for phase, moves in MOVES.items() if not moves]
    return "\n".join(lines)
