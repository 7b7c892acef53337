"""Latencies of single requests as one summary. Pure."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class LatencyMs:
    """Milliseconds, percentiles by nearest rank."""

    n: int
    """Requests."""
    mean: float
    """Mean."""
    p50: float
    """Median."""
    p95: float
    """95th percentile."""
    p99: float
    """99th percentile."""

    @classmethod
    def of(cls, took_ms: Sequence[float]) -> "LatencyMs":
        """Summarise at least one request; raises ValueError for none."""
        if not took_ms:
            raise ValueError("no request was timed")
        values = np.array(took_ms)
        p50, p95, p99 = np.quantile(values, [0.5, 0.95, 0.99], method="inverted_cdf").tolist()
        return cls(len(values), float(values.mean()), p50, p95, p99)

    def shape(self) -> dict[str, float | int]:
        """Return it for scripts, to a microsecond."""
        return {name: round(value, 3) for name, value in asdict(self).items()}
