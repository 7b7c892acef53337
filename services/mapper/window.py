"""Shares of the last ten minutes: they recover when things do, unlike shares since the start. Pure."""

from collections import deque
from dataclasses import dataclass, field

WINDOW_S = 600.0
"""Length of the window, seconds (runbook 2: alerts look at ten minutes)."""


@dataclass
class Window:
    """Counts of the last ten minutes, by second."""

    _cells: deque[tuple[int, int, int]] = field(default_factory=deque)

    def add(self, now: float, hits: int, total: int) -> None:
        """Count ``hits`` of ``total`` at ``now``, seconds of a clock that never goes back."""
        second = int(now)
        if self._cells and self._cells[-1][0] == second:
            _, before, all_before = self._cells.pop()
            hits, total = hits + before, total + all_before
        self._cells.append((second, hits, total))
        self._forget(now)

    def percentage(self, now: float) -> float:
        """Return hits per total of the window, percent; NaN when there was nothing."""
        self._forget(now)
        total = sum(cell[2] for cell in self._cells)
        return 100.0 * sum(cell[1] for cell in self._cells) / total if total else float("nan")

    def _forget(self, now: float) -> None:
        while self._cells and self._cells[0][0] <= now - WINDOW_S:
            self._cells.popleft()
