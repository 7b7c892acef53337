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

_OURS = frozenset(code.value for code in ErrorCode if STATUS[code] >= 500) | {
    ErrorCode.DEADLINE.value
}
"""Outcomes that are the release's fault: 5xx, and answers that came too late."""

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

    The baseline is the concurrent control group: requests of the stable release in the top buckets,
    as many as the canary's.
    """
    total = NOTHING
    for sample in samples:
        for endpoint in sample.endpoints:
            if endpoint.endpoint != guardrail.endpoint:
                continue
            requests = sum(endpoint.outcomes.values())
            bad = min(bad_events(endpoint, guardrail.event), requests)
            if endpoint.role == Role.CANARY and endpoint.release == rollout.canary:
                total += Counts(requests, bad, 0, 0)
            elif endpoint.role == Role.CONTROL and endpoint.release == rollout.stable:
                total += Counts(0, 0, requests, bad)
    return total


def bad_events(endpoint: EndpointSample, event: str) -> int:
    """Return how many requests of an endpoint's sample were bad in one way.

    ``latency > 10ms`` is read from the sketch, whose rank error is 1.33 %.
    """
    if event == "error":
        return sum(count for outcome, count in endpoint.outcomes.items() if outcome in _OURS)
    latency = _LATENCY.match(event)
    if latency is None:
        return endpoint.bad.get(event, 0)
    sketch = kll_doubles_sketch.deserialize(endpoint.latency)
    if sketch.is_empty():
        return 0
    over = 1.0 - float(sketch.get_rank(seconds(latency[1]) * 1000, True))
    return round(over * int(sketch.n))
