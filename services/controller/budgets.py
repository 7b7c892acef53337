"""Error budgets: bad events and all events by the minute and by the hour, and how fast they burn. Pure.

Burn rate is the share of bad events over the share allowed: 1 spends exactly the budget, 14.4 spends two per cent of
thirty days' budget in an hour. Two windows, a long and a short one, must both burn (Google, The Site Reliability
Workbook, chapter 5): the long one says that it matters, the short one that it still goes on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from services.controller.objectives import Objective
from services.controller.readings import Reading
from services.controller.windows import bad_events
from trimtab.contracts.samples import BudgetStatus, Sample

WINDOWS = {"5m": 300, "30m": 1800, "1h": 3600, "6h": 21_600}
"""Name of a window -> seconds."""

PAIRS = {"fast": ("1h", "5m"), "slow": ("6h", "30m")}
"""What must burn together: the long window, then the short one."""

PERIOD_S = 30 * 86_400
"""What a budget is for, seconds."""

_MINUTE_S = 60
_HOUR_S = 3600

Counts = dict[int, tuple[int, int]]
"""Number of a minute or hour since 1970 -> bad events, all events."""


class Counted(msgspec.Struct, frozen=True):
    """What was counted for one objective: whatever a restart must not forget."""

    minutes: Counts = {}
    """Of the longest window."""
    hours: Counts = {}
    """Of the whole period."""


@dataclass
class Budget:
    """One objective's."""

    objective: Objective
    """What was promised."""
    counted: Counted = field(default_factory=Counted)
    """So far; grows."""

    def hear(self, sample: Sample, now: float) -> None:
        """Count one sample's requests as of ``now``, unix seconds.

        A request without a role is an operator's measurement, often an exact search: no gateway routed it.
        """
        if sample.service != self.objective.service:
            return
        parts = [
            part
            for part in sample.endpoints
            if part.endpoint == self.objective.endpoint and part.role
        ]
        total = sum(sum(part.outcomes.values()) for part in parts)
        if total:
            bad = sum(bad_events(part, self.objective.event) for part in parts)
            _add(self.counted.minutes, int(now) // _MINUTE_S, bad, total)
            _add(self.counted.hours, int(now) // _HOUR_S, bad, total)

    def forget(self, now: float) -> None:
        """Drop what lies before every window and before the period."""
        _drop(self.counted.minutes, (now - max(WINDOWS.values())) // _MINUTE_S)
        _drop(self.counted.hours, (now - PERIOD_S) // _HOUR_S)

    def requests(self, window: str, now: float) -> int:
        """Return how many requests a window holds, to the minute."""
        return _sum(self.counted.minutes, (now - WINDOWS[window]) // _MINUTE_S)[1]

    def burn(self, window: str, now: float) -> float | None:
        """Return the burn rate over a window, to the minute; None on too few requests."""
        bad, total = _sum(self.counted.minutes, (now - WINDOWS[window]) // _MINUTE_S)
        return bad / total / self.objective.allowed if total >= self.objective.least else None

    def remaining(self, now: float) -> float:
        """Return which share of the period's budget is left: 1 untouched, 0 spent, less than that overspent."""
        bad, total = _sum(self.counted.hours, (now - PERIOD_S) // _HOUR_S)
        return 1.0 - bad / total / self.objective.allowed if total else 1.0

    def status(self, now: float) -> BudgetStatus:
        """Return how it stands."""
        burns = {window: self.burn(window, now) for window in WINDOWS}
        return BudgetStatus(
            objective=self.objective.name,
            event=self.objective.event,
            allowed=self.objective.allowed,
            remaining=self.remaining(now),
            burn={window: burn for window, burn in burns.items() if burn is not None},
        )


def burning(budgets: Iterable[Budget], now: float) -> dict[str, Reading]:
    """Return the worst of each pair of windows over all budgets: the lower rate of the two, and the long one's requests.

    A pair that has too few requests in one of its windows, whatever the budget, is left out.
    """
    worst: dict[str, Reading] = {}
    for budget in budgets:
        for pair, (long, short) in PAIRS.items():
            rates = budget.burn(long, now), budget.burn(short, now)
            if rates[0] is None or rates[1] is None:
                continue
            reading = Reading(min(rates[0], rates[1]), budget.requests(long, now))
            if pair not in worst or worst[pair].value < reading.value:
                worst[pair] = reading
    return worst


def budgets_of(objectives: Iterable[Objective], kept: Mapping[str, Counted]) -> tuple[Budget, ...]:
    """Return the objectives' budgets, going on from what was kept of each."""
    return tuple(
        Budget(objective, kept.get(objective.counts, Counted())) for objective in objectives
    )


def _add(counts: Counts, when: int, bad: int, total: int) -> None:
    was_bad, was = counts.get(when, (0, 0))
    counts[when] = (was_bad + bad, was + total)


def _drop(counts: Counts, last: float) -> None:
    for when in [when for when in counts if when <= last]:
        del counts[when]


def _sum(counts: Counts, after: float) -> tuple[int, int]:
    chosen = [count for when, count in counts.items() if when > after]
    return sum(bad for bad, _ in chosen), sum(total for _, total in chosen)
