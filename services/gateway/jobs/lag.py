"""How far the work queue is behind, looked at once a second: for Prometheus, and in this gateway's samples."""

import asyncio
import contextlib
import time
from dataclasses import dataclass

import nats.errors
import nats.js.errors
from nats.aio.client import Client as NatsClient

from trimtab.bus.streams import job_consumer
from trimtab.contracts import subjects
from trimtab.contracts.errors import TrimtabError
from trimtab.contracts.jobs import JobKind, JobPriority
from trimtab.contracts.samples import QUEUE_LAG
from trimtab.jobs.letters import DeadLetters
from trimtab.jobs.queue import JobQueue
from trimtab.telemetry.metrics import JOBS_ACK_PENDING, JOBS_DEAD, JOBS_PENDING, MAPPER_QUEUE_LAG

_LOOK_S = 1.0
_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Backlog:
    """One look at the queue."""

    lag_s: float
    """Age of the oldest unfinished mapping job, seconds; 0 without one."""
    pending: int
    """Jobs that no gateway has taken."""
    ack_pending: int
    """Jobs that a gateway works on, or that wait for their next try."""
    dead: int
    """Dead letters."""


class JobLag:
    """Looks at the queue and shows what it sees."""

    def __init__(self, connection: NatsClient, facts: dict[str, float | int | str]) -> None:
        self._js = connection.jetstream(timeout=_TIMEOUT_S)
        self._queue = JobQueue(connection)
        self._letters = DeadLetters(connection)
        self._facts = facts

    async def run(self) -> None:
        """Look once a second until cancelled; what cannot be seen keeps its last value."""
        while True:
            # No queue yet, or no server: the next look may see.
            with contextlib.suppress(TrimtabError, nats.errors.Error, nats.js.errors.Error):
                self._show(await self.look())
            await asyncio.sleep(_LOOK_S)

    async def look(self) -> Backlog:
        """Return how the queue stands; raises BusUnavailable and the client's errors."""
        found = await self._queue.next(1, subjects.jobs_of_kind(JobKind.MAP))
        lag_s = time.time() - found.time.timestamp() if found and found.time else 0.0
        infos = [
            await self._js.consumer_info(subjects.JOBS_STREAM, job_consumer(each))
            for each in JobPriority
        ]
        return Backlog(
            max(0.0, lag_s),
            sum(info.num_pending or 0 for info in infos),
            sum(info.num_ack_pending or 0 for info in infos),
            await self._letters.depth(),
        )

    def _show(self, backlog: Backlog) -> None:
        MAPPER_QUEUE_LAG.set(backlog.lag_s)
        JOBS_PENDING.set(backlog.pending)
        JOBS_ACK_PENDING.set(backlog.ack_pending)
        JOBS_DEAD.set(backlog.dead)
        self._facts[QUEUE_LAG] = round(backlog.lag_s, 3)
