"""Emergency triggers and alerts in the runbooks' own words: parsed and timed. Pure.

A condition must hold without a break for its whole duration; a second without data, or with too little, breaks
nothing and proves nothing. After a quarter of an hour of that nothing is known any more, and it starts anew.
"""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from services.controller.readings import METRICS, Reading
from trimtab.contracts.errors import InvalidCommand

_CONDITION = re.compile(
    r"^(?P<metric>[a-z][a-z0-9_]*)\s*(?P<operator>>=|<=|==|>|<)\s*(?P<value>\d+(?:\.\d+)?)"
    r"(?P<unit>%|ms|s)?\s+for\s+(?P<count>\d+)\s+(?P<span>second|minute|hour)s?\Z"
)
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
}
_UNITS = {"%": 0.01, "ms": 0.001, "s": 1.0, None: 1.0}
_SPANS = {"second": 1.0, "minute": 60.0, "hour": 3600.0}


Profile = Literal["cpu", "gpu"]
"""What models run on: thresholds of latency differ (runbook 2, SLO targets)."""

FORGETS_S = 900.0
"""Seconds without data after which a condition that held is not known to hold any more."""


class Trigger(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One entry of ``automated_triggers`` or of ``alerts``."""

    name: str
    """What it is called in alerts and the audit."""
    condition: str
    """For example ``embedding_duration_p95 > 2s for 10 minutes``."""
    severity: Literal["critical", "warning", "info"]
    """Who is woken: somebody, somebody in the morning, nobody."""
    action: Literal["rollback", "alert"] = "alert"
    """What the controller does by itself."""
    min_requests: Annotated[int, Meta(ge=1)] = 1
    """Least requests that a measurement must rest on: of the last minute, else of the last ten."""
    inhibited_by: Literal["", "rules_only"] = ""
    """Order in force under which it says nothing, for it says what somebody wanted."""
    profile: Literal["", "cpu", "gpu"] = ""
    """Profile that it is for; empty: every one."""
    notes: str = ""
    """For people: what it means and what to do first; the rest stands in ``docs/alerts.md``."""
    dashboard: str = ""
    """Where to look."""
    expr: str = ""
    """The same in PromQL, without its duration; empty where Prometheus knows nothing of it."""


class TriggerFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``rollback_triggers.yaml`` and ``alerts.yaml``."""

    automated_triggers: list[Trigger] = []
    alerts: list[Trigger] = []


@dataclass(frozen=True, slots=True)
class Condition:
    """A parsed condition; times in seconds, shares as ratios 0..1."""

    metric: str
    operator: str
    value: float
    for_s: float

    def violated_by(self, measured: float) -> bool:
        """Whether a measured value meets the condition."""
        return _OPERATORS[self.operator](measured, self.value)


State = Literal["quiet", "pending", "firing", "inhibited", "unknown"]


@dataclass(frozen=True, slots=True)
class Watch:
    """One trigger as it is being watched."""

    trigger: Trigger
    condition: Condition
    since: float | None = None
    """Unix seconds since when the condition holds; None: it does not."""
    fired: bool = False
    """Whether it has fired for this violation already."""
    measured: float | None = None
    """Last value seen."""
    requests: int = 0
    """What it was measured on."""
    heard_at: float | None = None
    """Unix seconds of that."""
    inhibited: bool = False
    """Whether an order in force keeps it silent."""

    def state(self, now: float) -> State:
        """Return how it stands at ``now``, unix seconds, whoever leads; inhibited only while it would complain."""
        if self.inhibited:
            violated = self.measured is not None and self.condition.violated_by(self.measured)
            return "inhibited" if violated else "quiet"
        if self.heard_at is None or now - self.heard_at >= FORGETS_S:
            return "unknown"
        if self.since is None:
            return "quiet"
        return "firing" if now - self.since >= self.condition.for_s else "pending"


def parse_condition(text: str) -> Condition:
    """Parse a condition.

    Raises:
        InvalidCommand: it is not of the form ``metric > value[unit] for N minutes``, or the metric
            is not one that is measured.
    """
    match = _CONDITION.match(text.strip())
    if match is None:
        raise InvalidCommand(f"condition {text!r} is not `metric > value for N minutes`")
    if match["metric"] not in METRICS:
        known = ", ".join(sorted(METRICS))
        raise InvalidCommand(
            f"condition {text!r}: nothing measures {match['metric']}; known: {known}"
        )
    return Condition(
        match["metric"],
        match["operator"],
        float(match["value"]) * _UNITS[match["unit"]],
        float(match["count"]) * _SPANS[match["span"]],
    )


def parse_triggers(data: bytes, origin: str, profile: Profile = "cpu") -> tuple[Watch, ...]:
    """Parse a trigger file into fresh watches, without those of another profile.

    Raises:
        InvalidCommand: unknown key, or a condition that cannot be parsed; names what.
    """
    try:
        file = msgspec.yaml.decode(data, type=TriggerFile)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise InvalidCommand(f"{origin}: {error}") from None
    every = [*file.automated_triggers, *file.alerts]
    chosen = [trigger for trigger in every if trigger.profile in ("", profile)]
    return tuple(Watch(t, parse_condition(t.condition)) for t in chosen)


def step(watch: Watch, reading: Reading | None, now: float, *, inhibited: bool = False) -> Watch:
    """Return the watch after one more look; ``fired`` turns true once per violation."""
    watch = replace(watch, inhibited=inhibited)
    if reading is None or reading.requests < watch.trigger.min_requests:
        known = watch.heard_at is not None and now - watch.heard_at < FORGETS_S
        return watch if known else replace(watch, since=None, fired=False)
    watch = replace(watch, measured=reading.value, requests=reading.requests, heard_at=now)
    if inhibited or not watch.condition.violated_by(reading.value):
        return replace(watch, since=None, fired=False)
    since = now if watch.since is None else watch.since
    due = now - since >= watch.condition.for_s
    return replace(watch, since=since, fired=watch.fired or due)
