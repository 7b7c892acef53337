"""Samples of a rollout as a gateway publishes them, one a second, drawn from a seed."""

import random
from collections.abc import Iterator

from datasketches import kll_doubles_sketch

from trimtab.contracts.samples import EndpointSample, Readiness, Sample
from trimtab.control.assignment import Role

BEGAN = 1_790_000_000.0
"""Unix seconds of the first sample's beginning."""


def endpoint(role: Role, release: str, requests: int, failed: int) -> EndpointSample:
    """One role's part of a second; every request took 1 ms."""
    sketch = kll_doubles_sketch(200)
    for _ in range(requests):
        sketch.update(1.0)
    return EndpointSample(
        endpoint="pipeline_search",
        component="",
        release=release,
        role=role.value,
        outcomes={"ok": requests - failed, "internal": failed},
        latency=sketch.serialize(),
        bad={},
    )


def sample(at: float, *endpoints: EndpointSample) -> Sample:
    """What one gateway says at ``at``."""
    return Sample(
        service="gateway",
        instance="gateway-1",
        version="1",
        readiness=Readiness.READY,
        reason="",
        components={},
        revision=1,
        started_at=BEGAN,
        at=at,
        interval_s=1.0,
        rss_bytes=1,
        in_flight=0,
        endpoints=list(endpoints),
    )


def rollout(
    seconds: int, *, canary_error: float, error: float = 0.01, per_second: int = 10, seed: int = 1
) -> Iterator[Sample]:
    """Yield a rollout in which each role gets as many requests a second."""
    draw = random.Random(seed)
    rates = {
        (Role.CANARY, "next"): canary_error,
        (Role.CONTROL, "base"): error,
        (Role.STABLE, "base"): error,
    }
    for second in range(1, seconds + 1):
        parts = [
            endpoint(
                role, release, per_second, sum(draw.random() < rate for _ in range(per_second))
            )
            for (role, release), rate in rates.items()
        ]
        yield sample(BEGAN + second, *parts)
