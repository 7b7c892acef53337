"""Whether this process ran all the while: SIGSTOP, a suspended machine or a blocked loop leave a gap.

After a gap nothing may be answered before the documents were read again, over whichever connection lets
them be read first.
"""

import asyncio
import time
from dataclasses import dataclass, field

TICK_S = 0.25
"""How often a running process ticks."""

FROZEN_AFTER_S = 1.0
"""A tick this late means that the process was stopped, or its loop blocked."""


@dataclass
class Pulse:
    """The ticks of one process; times are of its monotonic clock."""

    ticked_at: float = field(default_factory=time.monotonic)
    """Last tick."""
    thawed_at: float = float("-inf")
    """End of the last gap."""
    _reading: "asyncio.Future[None] | None" = None

    @property
    def missed(self) -> bool:
        """Whether the process has just come out of a gap that nobody noticed yet."""
        return time.monotonic() - self.ticked_at > FROZEN_AFTER_S

    @property
    def steady(self) -> bool:
        """Whether what arrives now cannot have waited for the end of a gap."""
        now = time.monotonic()
        return now - self.ticked_at < FROZEN_AFTER_S <= now - self.thawed_at

    def tick(self) -> None:
        """Say that the process runs."""
        self.ticked_at = time.monotonic()

    def thaw(self) -> float:
        """Note the end of a gap, hold requests back from here on, and return when that was."""
        self.ticked_at = self.thawed_at = time.monotonic()
        if self._reading is None:  # else it was frozen again before it had read anything
            self._reading = asyncio.get_running_loop().create_future()
        return self.thawed_at

    def have_read(self, began_at: float) -> None:
        """Let requests go on when a reading that began after the gap has ended.

        The first one after a thaw may wait for seconds on a connection that the server has given up; the
        one after the reconnect is as good.
        """
        if began_at >= self.thawed_at:
            self._go_on()

    def tried(self, thawed_at: float) -> None:
        """Let requests go on although nothing could be read, unless there was another gap since."""
        if thawed_at == self.thawed_at:
            self._go_on()

    async def caught_up(self) -> None:
        """Wait until what was missed has been read; at once when nothing was."""
        if self._reading is not None:
            await asyncio.wait({self._reading})

    def _go_on(self) -> None:
        if self._reading is not None:
            self._reading.set_result(None)
            self._reading = None
