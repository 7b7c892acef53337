"""Who is there and how it goes: samples in, worker statuses out. Pure; ``now`` is an argument.

Silence is measured by the listener's clock alone, so a worker whose time of day is seconds off is
neither silent nor, once dead, alive for seconds more.
"""

from collections import deque
from dataclasses import dataclass, field

from datasketches import kll_doubles_sketch

from trimtab.contracts.errors import STATUS, ErrorCode
from trimtab.contracts.samples import Sample, WorkerStatus

SILENT_AFTER_S = 3.0
"""Three missed samples: a worker that is alive publishes one a second."""

_SKETCH_K = 200
_OURS = frozenset(code.value for code in ErrorCode if STATUS[code] >= 500)


@dataclass
class Fleet:
    """The last ``window_s`` seconds of samples of every worker."""

    window_s: float
    """Seconds of samples kept."""
    forget_after_s: float
    """Seconds after which a silent worker is forgotten."""
    _samples: dict[str, deque[Sample]] = field(default_factory=dict)
    _heard_at: dict[str, float] = field(default_factory=dict)

    def add(self, sample: Sample, now: float) -> None:
        """Take one sample, heard ``now``; one that is older than the newest of its worker is ignored."""
        samples = self._samples.setdefault(sample.instance, deque())
        if samples and sample.at <= samples[-1].at:
            return
        samples.append(sample)
        self._heard_at[sample.instance] = now
        while samples[0].at < sample.at - self.window_s:
            samples.popleft()

    def forget(self, now: float) -> None:
        """Drop workers that have been silent for too long."""
        gone = [i for i, at in self._heard_at.items() if now - at > self.forget_after_s]
        for instance in gone:
            del self._samples[instance], self._heard_at[instance]

    def status(self, now: float) -> list[WorkerStatus]:
        """Return every worker, sorted by service and instance."""
        statuses = [
            _status(list(samples), max(0.0, now - self._heard_at[instance]), now)
            for instance, samples in self._samples.items()
        ]
        return sorted(statuses, key=lambda status: (status.service, status.instance))


def _status(samples: list[Sample], age_s: float, now: float) -> WorkerStatus:
    newest = samples[-1]
    requests, errors = _counts(samples)
    return WorkerStatus(
        service=newest.service,
        instance=newest.instance,
        version=newest.version,
        readiness=newest.readiness,
        reason=newest.reason,
        components=newest.components,
        revision=newest.revision,
        effective_hash=newest.effective_hash,
        stale=newest.stale,
        age_s=age_s,
        silent=age_s > SILENT_AFTER_S,
        uptime_s=max(0.0, now - newest.started_at),
        rss_bytes=newest.rss_bytes,
        requests=requests,
        errors=errors,
        p95_ms=p95_ms(samples),
        facts=newest.facts,
    )


def _counts(samples: list[Sample]) -> tuple[int, int]:
    requests = errors = 0
    for sample in samples:
        for endpoint in sample.endpoints:
            for outcome, count in endpoint.outcomes.items():
                requests += count
                errors += count if outcome in _OURS else 0
    return requests, errors


def p95_ms(samples: list[Sample]) -> float | None:
    """Return the 95th percentile of service time over the merged sketches; None without requests."""
    merged = kll_doubles_sketch(_SKETCH_K)
    for sample in samples:
        for endpoint in sample.endpoints:
            merged.merge(kll_doubles_sketch.deserialize(endpoint.latency))
    return None if merged.is_empty() else float(merged.get_quantile(0.95))
