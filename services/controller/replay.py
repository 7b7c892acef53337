"""A recorded rollout judged again, look by look, by the live judge and state machine in virtual time. Pure.

Samples keep the weights that they were recorded under: a step here decides what is asked of them (hold,
least requests) and a move shows what a controller would have done, not what traffic would have followed.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from services.controller.analysis import Verdict
from services.controller.evaluations import Evaluations
from services.controller.evidence import roles_of
from services.controller.policy import Policy
from services.controller.rollout import MOVES, Event, Move, advance
from services.controller.watched import LOOK_S, Watched
from services.controller.windows import Rollout
from trimtab.contracts.control import Canary, Phase
from trimtab.contracts.errors import InvalidCommand
from trimtab.contracts.evaluation import Evaluation
from trimtab.contracts.samples import Sample
from trimtab.control.assignment import Role
from trimtab.telemetry.recording import Heard


@dataclass(frozen=True, slots=True)
class Look:
    """One look of the replay."""

    at: float
    """Unix seconds, by the samples' clocks."""
    step: int
    """That it looked at, counted from 1."""
    phase: Phase
    """After the move."""
    event: Event
    """What the look meant."""
    verdict: Verdict
    """What it said."""


def replay(record: Iterable[Heard], policy: Policy, rollout: Rollout) -> Iterator[Look]:
    """Yield one look a second from the first sample of the canary to the end of the rollout or the record.

    What was heard comes in its order; an evaluation counts from the look after it was heard.
    """
    course: _Course | None = None
    evaluations = Evaluations()
    for heard in record:
        if isinstance(heard, Evaluation):
            evaluations.hear(heard)
            continue
        sample = heard
        if course is None:
            if _of_canary(sample, rollout):
                course = _Course(policy, rollout, evaluations, sample)
            continue
        yield from course.until(sample.at)
        if not MOVES[course.canary.phase]:
            return
        course.inbox.append(sample)
        course.heard_at = max(course.heard_at, sample.at)
    if course is not None:
        yield from course.until(course.now + LOOK_S)


class _Course:
    """Where the replay is: the canary, what is known of it, and the samples since the last look."""

    def __init__(
        self, policy: Policy, rollout: Rollout, evaluations: Evaluations, first: Sample
    ) -> None:
        self.policy, self.rollout, self.evaluations = policy, rollout, evaluations
        self.inbox = [first]
        self.now = self.heard_at = self.written_at = first.at
        self.watched = Watched()
        self.canary = Canary(
            release=rollout.canary,
            policy=policy.name,
            weight_bp=policy.steps[0].weight_bp,
            phase=Phase.RUNNING,
            step=0,
            step_since=first.at - first.interval_s,
            salt="",
        )

    def until(self, at: float) -> Iterator[Look]:
        """Look as often as the live loop would have until ``at``."""
        while self.now + LOOK_S <= at and MOVES[self.canary.phase]:
            self.now += LOOK_S
            yield self._look()
            self.inbox.clear()

    def _look(self) -> Look:
        step = self.canary.step + 1
        self.watched, verdict = self.watched.after(
            self.inbox,
            self.canary,
            self.rollout.stable,
            self.policy,
            silent_s=self.now - self.heard_at,
            evaluation=self.evaluations.named(self.rollout.canary, self.now),
        )
        move = advance(
            self.canary,
            verdict,
            self.policy,
            answered=self.watched.answered,
            now=self.now,
            written_at=self.written_at,
        )
        self._obey(move)
        return Look(self.now, step, self.canary.phase, move.event, verdict)

    def _obey(self, move: Move) -> None:
        if move.answer is not None:
            self.watched = self.watched.with_answer()
        if move.canary != self.canary or move.answer is not None:
            self.canary, self.written_at = move.canary, self.now
        elif self.canary.step_since == 0.0:  # a recorded fleet obeys by the next look
            self.canary = msgspec.structs.replace(self.canary, step_since=self.now)


def compared(samples: Iterable[Sample]) -> Rollout:
    """Return which releases the record compares.

    Raises:
        InvalidCommand: it holds no canary beside its control.
    """
    found = roles_of(samples)
    if found is None:
        raise InvalidCommand(
            "the record holds no canary beside its control group; record while a canary gets requests"
        )
    return found


def only_policy(policies: Mapping[str, Policy], samples: Iterable[Sample]) -> Policy:
    """Return the one policy whose requests the canary of the record got.

    Raises:
        InvalidCommand: none, or more than one.
    """
    served = {
        part.endpoint for sample in samples for part in sample.endpoints if part.role == Role.CANARY
    }
    fitting = [policy for policy in policies.values() if policy.endpoint in served]
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(sorted(policy.name for policy in fitting or policies.values()))
    raise InvalidCommand(f"{len(fitting)} policies fit the record; name one with --policy: {names}")


def _of_canary(sample: Sample, rollout: Rollout) -> bool:
    return any(
        part.role == Role.CANARY and part.release == rollout.canary for part in sample.endpoints
    )
