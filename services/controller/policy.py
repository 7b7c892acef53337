"""Ramp policies: steps, holds, guardrails and the answers to them, as reviewed YAML.

Closed to unknown keys; durations are written as people say them (``30m``, ``6h``).
"""

import re
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from trimtab.contracts.errors import InvalidCommand
from trimtab.contracts.gates import Gate
from trimtab.control.quality import QUALITY_FILE

WATCHED_FILES = ("rollback_triggers.yaml", "alerts.yaml")
"""The files of the folder that are not ramp policies: what the watchtower watches, always."""

OBJECTIVES_FILE = "objectives.yaml"
"""Another: what the error budgets are of."""

_DROP = re.compile(r"^recall_at_5_drop\s*>\s*(\d+(?:\.\d+)?)%\Z")
_DURATION = re.compile(r"^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\Z")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}

Duration = Annotated[str, Meta(pattern=r"^\d+(\.\d+)?\s*(ms|s|m|h|d)\Z")]
Severity = Literal["critical", "signal", "info"]


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of everything in a policy file."""


class Step(Part, frozen=True, kw_only=True):
    """One weight of the ramp."""

    weight: Annotated[float, Meta(gt=0, le=100)]
    """Percent of requests."""
    hold: Duration
    """Least time on this step, from the moment when the fleet has converged on it."""
    min_requests: Annotated[int, Meta(ge=1)] = 100
    """Least requests of the canary on this step; fewer never pass."""
    evaluated: bool = False
    """Whether the canary must have been evaluated to pass (runbook 5, T+6h)."""

    @property
    def weight_bp(self) -> int:
        """Basis points."""
        return round(self.weight * 100)

    @property
    def hold_s(self) -> float:
        """Seconds."""
        return seconds(self.hold)


class Answer(Part, frozen=True, kw_only=True):
    """What to try before the guardrail's severity has its way; each is tried once per rollout."""

    set: dict[str, float] = {}
    """Settings to change, for example ``retriever.nprobe: 4``."""
    kill: dict[str, str] = {}
    """Switches to throw, for example ``reranker: off``."""


class Guardrail(Part, frozen=True, kw_only=True):
    """One rate of bad events that the canary must not raise."""

    name: Annotated[str, Meta(min_length=1, max_length=60)]
    """For people and for the audit."""
    endpoint: str
    """Whose samples: ``search``, ``map``, or a stage: encode, retrieve, rerank, map."""
    event: str
    """``error``; ``latency > 10ms``; a bad event's name, for example ``low_cosine``; or
    ``recall_at_5_drop > 2%`` of ``endpoint: evaluation``: the newest `trimtab eval run --publish` of the canary."""
    severity: Severity
    """critical rolls back; signal holds and resumes by itself; info is logged."""
    tolerated_ratio: Annotated[float, Meta(ge=1)] = 1.2
    """Canary's rate over the control's that is still acceptable."""
    max_rate: Annotated[float, Meta(gt=0, le=1)] | None = None
    """Rate that the canary's upper bound must stay under to pass, whatever the control does."""
    answers: list[Answer] = []
    """Tried in order, one after another, while the guardrail fails."""

    @property
    def max_drop(self) -> float | None:
        """R@5 that the canary may lose, as a share; None for a rate of events."""
        match = _DROP.match(self.event)
        return float(match[1]) / 100 if match else None


class Policy(Part, frozen=True, kw_only=True):
    """One ramp."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]*\Z")]
    """What operators call it."""
    source: str
    """Where its thresholds come from."""
    endpoint: str
    """Whose requests count as samples: ``search`` or ``map``."""
    steps: Annotated[list[Step], Meta(min_length=1)]
    """In order; the last one's pass promotes."""
    max_hold: Duration
    """Longest time without a verdict to pass before the canary is taken back."""
    alpha: Annotated[float, Meta(gt=0, lt=0.5)] = 0.01
    """False alarms allowed per rollout, split over its guardrails and steps."""
    guardrails: Annotated[list[Guardrail], Meta(min_length=1)]
    """What is watched."""
    gates: list[Gate] = []
    """What must have been measured of exactly this release, and passed, before it gets a request."""
    gates_max_age: Duration = "30d"
    """Older measurements do not count."""

    @property
    def max_hold_s(self) -> float:
        """Seconds."""
        return seconds(self.max_hold)

    @property
    def gates_max_age_s(self) -> float:
        """Seconds."""
        return seconds(self.gates_max_age)

    @property
    def alpha_each(self) -> float:
        """False alarms allowed per test.

        Evidence begins anew with each step, and once more when the fleet has converged on it, so each
        guardrail that can act is two tests a step.
        """
        acting = sum(rail.severity != "info" and rail.max_drop is None for rail in self.guardrails)
        return self.alpha / max(1, 2 * acting * len(self.steps))


def seconds(duration: str) -> float:
    """Return a duration in seconds: ``90s``, ``30m``, ``6h``, ``250ms``, ``2d``.

    Raises:
        InvalidCommand: it is not a duration.
    """
    match = _DURATION.match(duration.strip())
    if match is None:
        raise InvalidCommand(f"{duration!r} is not a duration; write 90s, 30m, 6h, 250ms or 2d")
    return float(match[1]) * _SECONDS[match[2]]


def parse_policy(data: bytes, origin: str) -> Policy:
    """Parse a policy.

    Raises:
        InvalidCommand: unknown key, missing key or value out of range; names file and key.
    """
    try:
        policy = msgspec.yaml.decode(data, type=Policy)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise InvalidCommand(f"{origin}: {error}") from None
    weights = [step.weight for step in policy.steps]
    if weights != sorted(set(weights)):
        raise InvalidCommand(f"{origin}: the steps' weights must rise")
    return policy


def load_policies(folder: Path) -> dict[str, Policy]:
    """Read every ``*.yaml`` of a folder.

    Raises:
        InvalidCommand: one is not a policy, or two have one name.
    """
    policies: dict[str, Policy] = {}
    for path in sorted(folder.glob("*.yaml")):
        if path.name in (*WATCHED_FILES, QUALITY_FILE, OBJECTIVES_FILE):
            continue
        policy = parse_policy(path.read_bytes(), path.name)
        if policy.name in policies:
            raise InvalidCommand(f"{path.name}: another policy is called {policy.name}")
        policies[policy.name] = policy
    return policies
