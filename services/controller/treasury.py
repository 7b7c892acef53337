"""Keeps the error budgets of a controller: hears samples, shows the gauges, and survives a restart.

The leader writes what was counted to one file of the deployment's home, once a minute and when it stops; whoever
starts goes on from it, so a crash costs at most a minute of counts. On another machine the budgets begin anew.
"""

import asyncio
import math
from pathlib import Path

import msgspec

from services.controller.budgets import WINDOWS, Budget, Counted, budgets_of
from services.controller.objectives import Objective
from trimtab.contracts.samples import BudgetStatus, Sample
from trimtab.telemetry.logs import Logger
from trimtab.telemetry.metrics import SLO_BUDGET_REMAINING, SLO_BURN_RATE

KEEP_S = 60.0
"""How often what was counted is written."""

_Kept = dict[str, Counted]
"""By :attr:`Objective.counts`."""


class Treasury:
    """The budgets and their file."""

    def __init__(self, objectives: tuple[Objective, ...], file: Path, log: Logger) -> None:
        """Begin with nothing counted; ``file`` need not exist."""
        self.budgets: tuple[Budget, ...] = budgets_of(objectives, {})
        self._file = file
        self._log = log
        self._kept_at = 0.0

    async def recall(self) -> None:
        """Go on from the file; one that cannot be read is said aloud and begins anew."""
        try:
            data = await asyncio.to_thread(self._file.read_bytes)
            kept = msgspec.json.decode(data, type=_Kept)
        except FileNotFoundError:
            return
        except (OSError, msgspec.DecodeError) as error:
            self._log.warning("budgets_unreadable", error=type(error).__name__)
            return
        self.budgets = budgets_of((budget.objective for budget in self.budgets), kept)

    def hear(self, sample: Sample, now: float) -> None:
        """Count one sample as of ``now``, unix seconds: a worker's own clock may be wrong."""
        for budget in self.budgets:
            budget.hear(sample, now)

    def status(self, now: float) -> list[BudgetStatus]:
        """Return how every budget stands."""
        return [budget.status(now) for budget in self.budgets]

    async def tidy(self, now: float, *, leads: bool) -> None:
        """Forget what is over, show how it stands, and keep it once a minute while this controller leads."""
        for budget in self.budgets:
            budget.forget(now)
            _show(budget, now)
        if leads and now - self._kept_at >= KEEP_S:
            self._kept_at = now
            await self.keep()

    async def keep(self) -> None:
        """Write what was counted; a disk that does not take it is said aloud."""
        data = msgspec.json.encode({b.objective.counts: b.counted for b in self.budgets})
        try:
            await asyncio.to_thread(_write, self._file, data)
        except OSError as error:
            self._log.warning("budgets_not_kept", error=type(error).__name__)


def _show(budget: Budget, now: float) -> None:
    name = budget.objective.name
    SLO_BUDGET_REMAINING.labels(name).set(budget.remaining(now))
    for window in WINDOWS:
        burn = budget.burn(window, now)
        SLO_BURN_RATE.labels(name, window).set(math.nan if burn is None else burn)


def _write(file: Path, data: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    partial.write_bytes(data)
    partial.replace(file)
