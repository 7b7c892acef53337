"""Which kills must be in force, kept apart from the code under test: opened and closed by what was ordered."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from trimtab.contracts.control import Kill, KillLane, Switch
from trimtab.contracts.orders import KillCommand, RestoreCommand


@dataclass
class Killed:
    """One kill."""

    kill: Kill
    since: int
    """Lane revision that holds it."""
    until: int | None = None
    """Lane revision that took it back or replaced it."""

    def matches(self, command: KillCommand | RestoreCommand) -> bool:
        """Return whether a command replaces it or takes it back."""
        kill = self.kill
        if (kill.switch, kill.tenant, kill.detector) != (
            command.switch,
            command.tenant,
            command.detector,
        ):
            return False
        return kill.switch is not Switch.RELEASE or command.value in ("", kill.value)


@dataclass
class KillBook:
    """Every kill of one run."""

    orders: dict[str, KillCommand | RestoreCommand] = field(default_factory=dict)
    """Operation -> what an operator asked of the lane."""
    _killed: list[Killed] = field(default_factory=list)

    def stored(self, lane: KillLane, revision: int, latest: float) -> Iterator[tuple[Killed, bool]]:
        """Take note of a stored lane and yield each kill that nobody took back, with whether it is still right.

        ``latest`` is the latest time of day on any machine: what is over by it may be left out.
        """
        command = self.orders.get(lane.operation)
        still = [killed for killed in self._killed if killed.until is None]
        for killed in still:
            if command is not None and killed.matches(command):
                killed.until = revision
        kept = [killed for killed in still if killed.until is None]
        there = {_identity(kill) for kill in lane.kills}
        known = {_identity(killed.kill) for killed in kept}
        self._killed += [Killed(k, revision) for k in lane.kills if _identity(k) not in known]
        for killed in kept:
            gone = _identity(killed.kill) not in there
            right = not gone or is_over(killed.kill, latest) or _outlasted(killed.kill, lane)
            if gone and right:
                killed.until = revision
            yield killed, right

    def of(self, lane_revision: int, now: float) -> Iterator[Kill]:
        """Yield what who holds a lane must obey at a time of day."""
        for killed in self._killed:
            taken_back = killed.until is not None and lane_revision >= killed.until
            if lane_revision >= killed.since and not taken_back and not is_over(killed.kill, now):
                yield killed.kill


def is_over(kill: Kill, now: float) -> bool:
    """Return whether a kill ran out."""
    return kill.expires_at is not None and kill.expires_at <= now


def _outlasted(kill: Kill, lane: KillLane) -> bool:
    """Return whether the lane kills the same for at least as long."""
    scope = (kill.switch, kill.value, kill.tenant, kill.detector)
    return any(
        (other.switch, other.value, other.tenant, other.detector) == scope
        and _until(other) >= _until(kill)
        for other in lane.kills
    )


def _until(kill: Kill) -> float:
    return math.inf if kill.expires_at is None else kill.expires_at


def _identity(kill: Kill) -> tuple[str, str, str, str, float]:
    return kill.switch, kill.value, kill.tenant, kill.detector, kill.at
