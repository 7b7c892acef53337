"""Which nprobe to serve with: runbook 5's rule over measured points. Pure.

"Pick smallest nprobe with dR@10 >= -0.5pp AND P95 <= target."
"""

from collections.abc import Sequence
from dataclasses import dataclass

from trimtab.evaluation.latency import LatencyMs
from trimtab.evaluation.overlap import Overlap

LEAST_DELTA_PP = -0.5
"""Of the runbook's rule."""


@dataclass(frozen=True, slots=True)
class Point:
    """What one nprobe gives."""

    nprobe: int
    """IVF lists visited."""
    latency: LatencyMs
    """Of the retrieve stage over the bus."""
    overlap: Overlap
    """With the exact answers."""
    delta_r10_pp: float
    """R@10 less that of the exact search, percentage points."""

    def shape(self) -> dict[str, object]:
        """Return it for scripts."""
        return {
            "nprobe": self.nprobe,
            "latency_ms": self.latency.shape(),
            "overlap": self.overlap.shape(),
            "delta_r10_pp": self.delta_r10_pp,
        }


@dataclass(frozen=True, slots=True)
class Choice:
    """What the rule says."""

    nprobe: int | None
    """To serve with; None when no point keeps both bounds."""
    why: str
    """For the audit and for people."""


def choose(
    points: Sequence[Point], target_p95_ms: float, least_delta_pp: float = LEAST_DELTA_PP
) -> Choice:
    """Return the smallest nprobe that loses at most ``-least_delta_pp`` and answers within the target."""
    good = [point for point in points if point.delta_r10_pp >= least_delta_pp]
    fit = [point for point in good if point.latency.p95 <= target_p95_ms]
    if fit:
        best = min(fit, key=lambda point: point.nprobe)
        return Choice(
            best.nprobe,
            f"nprobe={best.nprobe} (P95={best.latency.p95:.2f} ms, "
            f"dR@10={best.delta_r10_pp:+.2f} pp)",
        )
    if not good:
        return Choice(
            None,
            f"none of them keeps dR@10 >= {least_delta_pp:g} pp: visit more lists, or fewer larger ones",
        )
    return Choice(
        None,
        f"those with dR@10 >= {least_delta_pp:g} pp answer later than {target_p95_ms:g} ms at P95: "
        "more workers, or a smaller index",
    )
