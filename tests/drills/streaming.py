"""A stream of requests that never pauses, with every reply kept and timed."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from tests.drills.asking import Tally
from trimtab.bus.ending import end

T = TypeVar("T")

CALLERS = 4
_BREATH_S = 0.005
"""Between a caller's requests: the stream shall show what happens, not fill the machine."""


@dataclass(frozen=True)
class Reply(Generic[T]):
    """One answer and when it was asked for and came, unix seconds."""

    asked_at: float
    answered_at: float
    answer: T


@dataclass
class Stream(Generic[T]):
    """What came back so far."""

    replies: list[Reply[T]] = field(default_factory=list)
    """In the order of their arrival."""
    tally: Tally = field(default_factory=Tally)
    """Answers and errors."""

    @property
    def lost(self) -> int:
        """Requests that ended in an error."""
        return sum(self.tally.outcomes.values()) - self.tally.ok

    async def grown(self, by: int) -> None:
        """Wait for so many more answers."""
        target = len(self.replies) + by
        async with asyncio.timeout(60):
            while len(self.replies) < target:
                await asyncio.sleep(0.005)

    async def until(self, wanted: Callable[[T], bool]) -> Reply[T]:
        """Wait for an answer of one kind that is asked for from now on."""
        now, seen = time.time(), len(self.replies)
        async with asyncio.timeout(60):
            while True:
                for reply in self.replies[seen:]:
                    if reply.asked_at >= now and wanted(reply.answer):
                        return reply
                await asyncio.sleep(0.005)

    def after(self, at: float, before: float = float("inf")) -> list[Reply[T]]:
        """Return what was asked for after an instant and answered before another, unix seconds."""
        return [r for r in self.replies if r.asked_at > at and r.answered_at < before]

    def verified(self, at: float, wanted: Callable[[T], bool]) -> float:
        """Return when the first good answer came to what was asked for after an instant."""
        return next(r.answered_at for r in self.after(at) if wanted(r.answer))


@asynccontextmanager
async def streaming(
    ask: Callable[[], Awaitable[T]], callers: int = CALLERS
) -> AsyncIterator[Stream[T]]:
    """Keep ``callers`` callers asking for the length of the block; what is under way then is awaited."""
    stream: Stream[T] = Stream()
    stopped = asyncio.Event()

    async def once() -> None:
        asked_at = time.time()
        answer = await ask()
        stream.replies.append(Reply(asked_at, time.time(), answer))

    async def caller() -> None:
        while not stopped.is_set():
            await stream.tally.add(once)
            await asyncio.sleep(_BREATH_S)

    tasks = [asyncio.create_task(caller()) for _ in range(callers)]
    try:
        yield stream
        stopped.set()
        await asyncio.gather(*tasks)
    finally:
        await end(*tasks)
