"""What mapping requests leave behind: the runbooks' metrics and the bad events of the samples."""

import time
from dataclasses import dataclass, field

from services.mapper.mapper import Mapped
from services.mapper.window import Window
from trimtab.telemetry.metrics import (
    MAPPER_CONFIDENCE,
    MAPPER_DURATION,
    MAPPER_FALLBACK,
    MAPPER_FALLBACK_PERCENTAGE,
    MAPPER_MODEL_INVOCATIONS,
    MAPPER_PAYLOAD_REJECTED,
    MAPPER_REQUESTS,
    MAPPER_RETRIES,
    MAPPER_SCHEMA_VALID,
)

OTHER = "other"
"""Detector label of requests that never reached a mapper, or whose detector nobody declared."""


@dataclass
class Recorder:
    """Counts; one per process."""

    valid: Window = field(default_factory=Window)
    """Model outputs that fit the schema, of all."""
    fallback: Window = field(default_factory=Window)
    """Requests that fell back to rules, of all."""

    def publish(self) -> None:
        """Let the two gauges read these windows at every scrape."""
        MAPPER_SCHEMA_VALID.set_function(lambda: self.valid.percentage(time.monotonic()))
        MAPPER_FALLBACK_PERCENTAGE.set_function(lambda: self.fallback.percentage(time.monotonic()))

    def mapped(self, component: str, mapped: Mapped, took_s: float) -> None:
        """Count an answered request."""
        now, reason = time.monotonic(), mapped.reply.fallback_reason
        MAPPER_REQUESTS.labels(mapped.detector, "success").inc()
        MAPPER_DURATION.labels(mapped.detector).observe(took_s)
        MAPPER_MODEL_INVOCATIONS.labels(component).inc(mapped.model_calls)
        if mapped.retries:
            MAPPER_RETRIES.labels(component).inc(mapped.retries)
        for confidence in mapped.confidences:
            MAPPER_CONFIDENCE.labels(mapped.detector).observe(confidence)
        if mapped.valid + mapped.invalid:
            self.valid.add(now, mapped.valid, mapped.valid + mapped.invalid)
        self.fallback.add(now, int(reason is not None), 1)
        if reason is not None:
            MAPPER_FALLBACK.labels(mapped.detector, reason.value).inc()

    def refused(self, *, ours: bool) -> None:
        """Count a request that got an error: ``error`` when it is ours, ``invalid`` the caller's."""
        MAPPER_REQUESTS.labels(OTHER, "error" if ours else "invalid").inc()

    def raw(self) -> None:
        """Count a request whose output was raw content."""
        MAPPER_PAYLOAD_REJECTED.labels("raw_content").inc()


def bad_events(mapped: Mapped) -> tuple[str, ...]:
    """Return the names of a request's bad events of quality; empty when all went well."""
    reason = mapped.reply.fallback_reason
    events = ("schema_invalid",) if mapped.invalid else ()
    return events if reason is None else (*events, f"fallback_{reason.value}")
