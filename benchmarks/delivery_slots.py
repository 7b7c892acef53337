"""When each of N processes had a command in force: slots in shared memory, so that measuring sends nothing."""

import asyncio
import mmap
import struct
import time
from dataclasses import dataclass
from pathlib import Path

_SLOT = struct.Struct("@qqq")
_NUMBER = struct.Struct("@q")

LOOK_S = 0.002
"""How often a wait looks at the slots; the instants in them do not depend on it."""


@dataclass(frozen=True, slots=True)
class Slots:
    """One slot per process: the newest sequence in force, since when, and when the process began."""

    memory: mmap.mmap
    """Shared by everybody who opened the same file."""

    @classmethod
    def open(cls, path: Path, count: int) -> "Slots":
        """Map the slots of ``count`` processes, making the file when it is not there."""
        size = count * _SLOT.size
        if not path.exists():
            path.write_bytes(bytes(size))
        with path.open("r+b") as file:
            return cls(mmap.mmap(file.fileno(), size))

    def begin(self, index: int) -> None:
        """Note that a process begins now."""
        _SLOT.pack_into(self.memory, index * _SLOT.size, 0, 0, time.monotonic_ns())

    def mark(self, index: int, sequence: int) -> None:
        """Note that ``sequence`` is in force since now; the time first, so that a reader finds both."""
        start = index * _SLOT.size
        _NUMBER.pack_into(self.memory, start + 8, time.monotonic_ns())
        _NUMBER.pack_into(self.memory, start, sequence)

    def read(self, index: int) -> tuple[int, int, int]:
        """Return sequence, since when and begin of one slot; times are monotonic nanoseconds."""
        sequence, at, began = _SLOT.unpack_from(self.memory, index * _SLOT.size)
        return sequence, at, began

    def last(self, sequence: int, indexes: range) -> int | None:
        """Return when the last of some processes had ``sequence`` in force; None: one has not."""
        found = [self.read(index) for index in indexes]
        if any(reached < sequence for reached, _, _ in found):
            return None
        return max(at for _, at, _ in found)

    async def until(
        self, sequence: int, indexes: range, *, timeout_s: float = 60.0, look_s: float = LOOK_S
    ) -> int:
        """Wait for :meth:`last`.

        Raises:
            TimeoutError: one had not in time.
        """
        async with asyncio.timeout(timeout_s):
            while (at := self.last(sequence, indexes)) is None:  # noqa: ASYNC110 - shared memory wakes nobody
                await asyncio.sleep(look_s)
        return at
