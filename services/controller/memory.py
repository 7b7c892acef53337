"""How much each worker's memory grew since it had settled (runbook 5: more than 20 % means a leak)."""

from dataclasses import dataclass, field

from services.controller.fleet import SILENT_AFTER_S
from trimtab.contracts.samples import Sample

SETTLED_S = 600.0
"""Seconds of life after which a worker has loaded what it loads, and its memory is its baseline."""


@dataclass
class Memory:
    """Baselines of the workers that are there."""

    _first: dict[str, Sample] = field(default_factory=dict)
    _last: dict[str, Sample] = field(default_factory=dict)

    def hear(self, sample: Sample) -> None:
        """Take one sample; other components loaded since the baseline make a new one."""
        if sample.at - sample.started_at < SETTLED_S:
            return
        first = self._first.get(sample.instance)
        if first is None or first.components != sample.components:
            self._first[sample.instance] = sample
        self._last[sample.instance] = sample

    def growth(self, now: float) -> float | None:
        """Return the most that one worker grew, as a share of its baseline; None while none has settled."""
        for instance in [i for i, s in self._last.items() if now - s.at > SILENT_AFTER_S]:
            del self._last[instance], self._first[instance]
        grown = [
            last.rss_bytes / self._first[instance].rss_bytes - 1.0
            for instance, last in self._last.items()
        ]
        return max(grown, default=None)
