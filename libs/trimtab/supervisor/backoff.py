"""How long to wait before a crashed process is started again. Pure."""

from dataclasses import dataclass, replace

FIRST_S = 0.2
"""Wait after the first crash."""

LONGEST_S = 10.0
"""Never wait longer: a dependency that comes back is used soon."""

STABLE_S = 30.0
"""A process that ran this long was fine; its next crash counts as the first."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Crashes in a row of one process."""

    crashes: int = 0
    """Without a stable run between them."""

    def after(self, uptime_s: float) -> "Backoff":
        """Return the count after one more crash of a process that ran ``uptime_s``."""
        return replace(self, crashes=1 if uptime_s >= STABLE_S else self.crashes + 1)

    @property
    def wait_s(self) -> float:
        """Seconds to wait now: doubled with every crash, capped."""
        if not self.crashes:
            return 0.0
        return float(min(LONGEST_S, FIRST_S * 2 ** min(self.crashes - 1, 16)))
