"""Emergency triggers in the runbooks' own words: parsed, measured from samples, timed. Pure.

A condition must hold without a break for its whole duration; a second without data breaks nothing
and proves nothing: the clock goes on only on measured violations.
"""

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import msgspec
from datasketches import kll_doubles_sketch

from services.controller.windows import bad_events
from trimtab.contracts.errors import InvalidCommand
from trimtab.contracts.evaluation import Evaluation
from trimtab.contracts.samples import EndpointSample, Readiness, Sample

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


class Trigger(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One entry of ``automated_triggers``."""

    name: str
    """What it is called in alerts and the audit."""
    condition: str
    """For example ``embedding_duration_p95 > 2s for 10 minutes``."""
    severity: Literal["critical", "warning"]
    """Who is woken."""
    action: Literal["rollback", "alert"]
    """What the controller does by itself."""
    notes: str = ""
    """For people."""
    dashboard: str = ""
    """Where to look."""


class TriggerFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``rollback_triggers.yaml``."""

    automated_triggers: list[Trigger]


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


def parse_triggers(data: bytes, origin: str) -> tuple[Watch, ...]:
    """Parse a trigger file into fresh watches.

    Raises:
        InvalidCommand: unknown key, or a condition that cannot be parsed; names what.
    """
    try:
        file = msgspec.yaml.decode(data, type=TriggerFile)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise InvalidCommand(f"{origin}: {error}") from None
    return tuple(Watch(t, parse_condition(t.condition)) for t in file.automated_triggers)


def step(watch: Watch, measured: float | None, now: float) -> Watch:
    """Return the watch after one more measurement; ``fired`` turns true once per violation."""
    if measured is None:
        return watch
    if not watch.condition.violated_by(measured):
        return replace(watch, since=None, fired=False, measured=measured)
    since = now if watch.since is None else watch.since
    due = now - since >= watch.condition.for_s
    return replace(watch, since=since, fired=watch.fired or due, measured=measured)


@dataclass(frozen=True, slots=True)
class Heard:
    """What a condition is measured on."""

    samples: Sequence[Sample]
    """Of the last minute."""
    evaluation: Evaluation | None = None
    """The newest one of a release that serves; None without."""


Measure = Callable[[Heard], float | None]


def _endpoints(samples: Sequence[Sample], endpoint: str) -> list[EndpointSample]:
    return [part for sample in samples for part in sample.endpoints if part.endpoint == endpoint]


def _p95_s(endpoint: str) -> Measure:
    def measure(heard: Heard) -> float | None:
        merged = kll_doubles_sketch(200)
        for part in _endpoints(heard.samples, endpoint):
            merged.merge(kll_doubles_sketch.deserialize(part.latency))
        return None if merged.is_empty() else float(merged.get_quantile(0.95)) / 1000

    return measure


def _share(endpoint: str, count: Callable[[EndpointSample], int]) -> Measure:
    def measure(heard: Heard) -> float | None:
        parts = _endpoints(heard.samples, endpoint)
        requests = sum(sum(part.outcomes.values()) for part in parts)
        return sum(count(part) for part in parts) / requests if requests else None

    return measure


def _encoder_up(heard: Heard) -> float | None:
    if not heard.samples:
        return None  # nobody reports at all: that is the metrics path, not the encoder
    serving = (Readiness.READY, Readiness.DEGRADED)
    return float(any(s.service == "encoder" and s.readiness in serving for s in heard.samples))


def _recall_drop(heard: Heard) -> float | None:
    found = heard.evaluation
    return None if found is None else found.before - found.recall_at_5


METRICS: dict[str, Measure] = {
    "embedding_duration_p95": _p95_s("encode"),
    "gpu_failure_rate": _share("encode", lambda part: part.outcomes.get("model_failed", 0)),
    "token_overflow_rate": _share("encode", lambda part: bad_events(part, "token_overflow")),
    "vllm_service_up": _encoder_up,
    "search_error_rate": _share("pipeline_search", lambda part: bad_events(part, "error")),
    "search_duration_p95": _p95_s("pipeline_search"),
    "recall_at_5_drop": _recall_drop,
}
"""Metric of a condition -> how it is measured on what was heard; None: no data."""
