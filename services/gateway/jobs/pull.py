"""Taking jobs out of the queue: two pulls, bounded in flight, high before normal, and none while all is closed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import nats.errors
import nats.js.errors
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from trimtab.bus.ending import end
from trimtab.bus.streams import JOB_ACK_S, job_consumer
from trimtab.contracts import subjects
from trimtab.contracts.jobs import JobPriority

_FETCH_S = 5.0
_LOOK_S = 0.2
_AGAIN_S = 1.0

Work = Callable[[Msg], Awaitable[None]]


@dataclass(frozen=True)
class Door:
    """When jobs may be taken at all."""

    open: Callable[[], bool]
    """False while the pipeline is closed for everybody."""
    stopping: Callable[[], bool]
    """True once the worker drains."""


class JobPull:
    """Hands each delivery to ``work``, in a task of its own."""

    def __init__(self, connection: NatsClient, work: Work, at_once: int, door: Door) -> None:
        self._js = connection.jetstream(timeout=_FETCH_S)
        self._work = work
        self._at_once = at_once
        self._door = door
        self._pulling: list[asyncio.Task[None]] = []
        self._working: set[asyncio.Task[None]] = set()
        self._high_waiting = False

    def start(self) -> None:
        """Begin to pull; returns at once, also when there is no queue yet."""
        self._pulling = [asyncio.create_task(self._pull(each)) for each in JobPriority]

    async def stop(self, timeout_s: float) -> None:
        """Take nothing new, finish what is being worked on; what is not done in time goes back."""
        await end(*self._pulling)
        if self._working:
            await asyncio.wait(set(self._working), timeout=timeout_s)
        await end(*self._working)

    async def _pull(self, priority: JobPriority) -> None:
        slots = asyncio.Semaphore(self._at_once)
        subscription: JetStreamContext.PullSubscription | None = None
        while True:
            await slots.acquire()
            await self._until_wanted(priority)
            try:
                subscription = subscription or await self._subscribe(priority)
                [message] = await subscription.fetch(1, timeout=_FETCH_S)
            except (nats.errors.TimeoutError, TimeoutError):
                self._heard(priority, 0)
                slots.release()
            except (nats.errors.Error, nats.js.errors.Error):
                # No queue yet, or no server: neither is this loop's to mend.
                slots.release()
                await asyncio.sleep(_AGAIN_S)
            else:
                self._heard(priority, message.metadata.num_pending)
                self._begin(message, slots)

    async def _subscribe(self, priority: JobPriority) -> JetStreamContext.PullSubscription:
        return await self._js.pull_subscribe_bind(
            consumer=job_consumer(priority), stream=subjects.JOBS_STREAM
        )

    def _begin(self, message: Msg, slots: asyncio.Semaphore) -> None:
        task = asyncio.create_task(self._kept(message))
        self._working.add(task)
        task.add_done_callback(self._working.discard)
        task.add_done_callback(lambda _task: slots.release())

    async def _kept(self, message: Msg) -> None:
        async with kept(message):
            await self._work(message)

    async def _until_wanted(self, priority: JobPriority) -> None:
        yielding = priority is JobPriority.NORMAL
        while (  # noqa: ASYNC110 - an expiring kill sends no event
            self._door.stopping() or not self._door.open() or (yielding and self._high_waiting)
        ):
            await asyncio.sleep(_LOOK_S)

    def _heard(self, priority: JobPriority, left: int) -> None:
        if priority is JobPriority.HIGH:
            self._high_waiting = left > 0


@asynccontextmanager
async def kept(message: Msg) -> AsyncIterator[None]:
    """Tell the server that a delivery is being worked on, for the length of the block."""

    async def say() -> None:
        while True:
            await asyncio.sleep(JOB_ACK_S / 3)
            with contextlib.suppress(nats.errors.Error):
                await message.in_progress()

    saying = asyncio.create_task(say())
    try:
        yield
    finally:
        await end(saying)
