"""What the controller's heartbeats are worth to a worker: a canary's lease, and knowing that its state is no old one."""

import time
from dataclasses import dataclass

LEASE_S = 30.0
"""Default of ``lease_s``."""

STALE_AFTER_S = 15.0
"""Without a heartbeat for this long a worker says that what it obeys may be old."""


@dataclass
class Heartbeats:
    """The heartbeats that one process heard, by its monotonic clock."""

    lease_s: float = LEASE_S
    """A canary gets nothing once none came for this long: controller dead, or we are cut off."""
    heard_at: float = 0.0
    """When the last one came; 0 before the first."""

    def hear(self) -> None:
        """Note one."""
        self.heard_at = time.monotonic()

    @property
    def leased(self) -> bool:
        """Whether one came within the lease."""
        return time.monotonic() - self.heard_at < self.lease_s and self.heard_at > 0

    @property
    def stale(self) -> bool:
        """Whether they came once and stopped for 15 s."""
        return 0 < self.heard_at < time.monotonic() - STALE_AFTER_S
