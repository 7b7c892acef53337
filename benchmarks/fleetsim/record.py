"""What one simulated run showed: checks made, the first breach, and an event log in order."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field


class Breach(AssertionError):
    """An invariant does not hold."""

    def __init__(self, invariant: str, detail: str) -> None:
        super().__init__(f"{invariant}: {detail}")
        self.invariant = invariant


@dataclass
class Record:
    """The book of one run."""

    now: Callable[[], float]
    """True time, seconds since the beginning."""
    checks: Counter[str] = field(default_factory=Counter)
    """Invariant -> checks made."""
    log: list[str] = field(default_factory=list)
    """What happened, in order."""
    outcomes: Counter[str] = field(default_factory=Counter)
    """What became of rollouts and orders."""
    breach: Breach | None = None
    """The first one; what follows from it is not looked at."""

    def say(self, line: str) -> None:
        """Add a line to the event log."""
        self.log.append(f"{self.now():8.3f} {line}")

    def hold(self, invariant: str, holds: object, detail: Callable[[], str]) -> None:
        """Check one invariant."""
        self.checks[invariant] += 1
        if not holds and self.breach is None:
            self.breach = Breach(invariant, detail())
            self.say(f"BREACH {self.breach}")
