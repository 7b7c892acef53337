"""Samples into counts: how many requests and bad events each role had, over a span. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from datasketches import kll_doubles_sketch

from services.controller.counttest import NOTHING, Counts
from services.controller.policy import Guardrail, seconds
from trimtab.contracts.errors import STATUS, ErrorCode
from trimtab.contracts.samples import EndpointSample, Sample
from trimtab.control.assignment import Role

OURS = frozenset(code.value for code in ErrorCode if STATUS[code] >= 500) | {
    ErrorCode.DEADLINE.value
}
"""Outcomes that are the release's fault: 5xx, and answers that came too late."""

_CONTROL = frozenset({Role.CONTROL.value})
_STABLE = frozenset({Role.CONTROL.value, Role.STABLE.value})

_LATENCY = re.compile(r"^latency\s*>\s*(\S+)\Z")


@dataclass(frozen=True, slots=True)
class Rollout:
    """Whose samples are compared."""

    canary: str
    """Release being ramped."""
    stable: str
    """Release it is compared with."""


def counts(samples: Iterable[Sample], guardrail: Guardrail, rollout: Rollout) -> Counts:
    """Return the counts of one guardrail over the samples.

    Bad events that are counted are compared with all that the stable release serves at the same time:
    beside 5 % of canary that is 19 times the control group, and finds a bad canary several times
    sooner. Latency is compared with the control group alone, whose sketches are as small as the
    canary's and so as exact.
    """
    compared = _CONTROL if _LATENCY.match(guardrail.event) else _STABLE
    total = NOTHING
    for sample in samples:
        for endpoint in sample.endpoints:
            if endpoint.endpoint == guardrail.endpoint:
                total += _counts(endpoint, guardrail.event, rollout, compared)
    return total


def _counts(
    endpoint: EndpointSample, event: str, rollout: Rollout, compared: frozenset[str]
) -> Counts:
    requests = sum(endpoint.outcomes.values())
    if endpoint.role == Role.CANARY and endpoint.release == rollout.canary:
        return Counts(requests, min(bad_events(endpoint, event), requests), 0, 0)
    if endpoint.role not in _STABLE or endpoint.release != rollout.stable:
        return NOTHING
    control = requests if endpoint.role == Role.CONTROL else 0
    if endpoint.role not in compared:
        return NOTHING
    return Counts(0, 0, requests, min(bad_events(endpoint, event), requests), control)


def bad_events(endpoint: EndpointSample, event: str) -> int:
    """Return how many requests of an endpoint's sample were bad in one way.

    ``latency > 10ms`` is read from the sketch, whose rank error is 1.33 %.
    """
    if event == "error":
        return sum(count for outcome, count in endpoint.outcomes.items() if outcome in OURS)
    latency = _LATENCY.match(event)
    if latency is None:
        return endpoint.bad.get(event, 0)
    sketch = kll_doubles_sketch.deserialize(endpoint.latency)
    if sketch.is_empty():
        return 0
    over = 1.0 - float(sketch.get_rank(seconds(latency[1]) * 1000, True))
    return round(over * int(sketch.n))
