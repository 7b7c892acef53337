"""Token buckets: so many requests a minute per caller, a whole minute's worth at once. Pure; ``now`` is an argument."""

from collections import OrderedDict
from dataclasses import dataclass

WINDOW_S = 60.0
_MOST = 10_000
"""Callers remembered; the one that asked longest ago is forgotten, and has a full bucket when it returns."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a caller has left."""

    per_minute: int
    """Requests a minute."""
    remaining: int
    """Whole requests left now."""
    reset_s: float
    """Seconds until all are there again."""
    wait_s: float = 0.0
    """Seconds until the request that was refused would pass; 0 when it passed."""

    @property
    def headers(self) -> dict[str, str]:
        """As HTTP headers, in the manner of the IETF draft on RateLimit fields."""
        return {
            "RateLimit-Limit": f"{self.per_minute};w={WINDOW_S:.0f}",
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(round(self.reset_s)),
        }


class Buckets:
    """One bucket per caller, of one gateway: each further gateway allows as much again."""

    def __init__(self) -> None:
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str, per_minute: int, cost: int, now: float) -> Allowance:
        """Take ``cost`` requests from a caller's bucket at ``now`` (seconds that never go back), if it holds as many.

        What costs more than a whole bucket passes from a full one, and leaves a debt.
        """
        rate = per_minute / WINDOW_S
        left, at = self._left.pop(caller, (float(per_minute), now))
        left = min(float(per_minute), left + rate * (now - at))
        needed = min(cost, per_minute)
        wait_s = max(0.0, (needed - left) / rate)
        if wait_s == 0.0:
            left -= cost
        self._left[caller] = (left, now)
        while len(self._left) > _MOST:
            self._left.popitem(last=False)
        return Allowance(per_minute, max(0, int(left)), (per_minute - left) / rate, wait_s)
