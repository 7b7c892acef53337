"""The releases and the ramp of every simulated run: the real ramp's shape, in seconds."""

import msgspec

from services.controller.policy import Policy
from trimtab.contracts.component import Release

BASE, GOOD, BAD = "base", "good", "bad"
"""Releases: the first serves, the others may be ramped; the last fails a third of its requests."""


def release(name: str) -> Release:
    """Return a small release."""
    return Release(
        name=name,
        encode="minilm-int8@1",
        retrieve="hybrid@1",
        rerank=component(name),
        map="safety-head@1",
        namespace="single_vector.minilm.384.v1",
    )


def component(name: str) -> str:
    """Return the one component that a release does not share with the others."""
    return f"mlp-{name}@1"


POLICY = msgspec.convert(
    {
        "name": "quick",
        "source": "the simulation: the real ramp's shape in seconds",
        "endpoint": "search",
        "steps": [
            {"weight": 5, "hold": "2s", "min_requests": 30},
            {"weight": 50, "hold": "2s", "min_requests": 60},
            {"weight": 100, "hold": "2s", "min_requests": 60},
        ],
        "max_hold": "12s",
        "guardrails": [
            {
                "name": "errors",
                "endpoint": "search",
                "event": "error",
                "severity": "critical",
                "max_rate": 0.2,
            },
            {
                "name": "more errors",
                "endpoint": "search",
                "event": "error",
                "severity": "signal",
                "tolerated_ratio": 1.0,
                "answers": [{"kill": {"reranker": "off"}}],
            },
        ],
    },
    Policy,
)
"""Three steps of a few seconds; the second guardrail's answer is a kill by the controller."""
