"""One job, through the same functions as the online path, and its result made durable.

A job leaves the queue only after its result, or its dead letter, is acknowledged by its stream: a gateway
killed at any point loses none, and one that finds a result for a delivered job does nothing again.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import nats.errors
import nats.js.errors
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg

from services.gateway.jobs.deadletter import given_up, unreadable
from services.gateway.jobs.records import JobRecords
from services.gateway.jobs.verbs import waiting
from services.gateway.jobs.verdicts import Next, Patience
from trimtab.contracts import subjects
from trimtab.contracts.errors import (
    DeadlineExceeded,
    InternalError,
    InvalidMessage,
    TrimtabError,
)
from trimtab.contracts.headers import RequestContext, now_ms
from trimtab.contracts.jobs import Job, JobKind, JobRecord, JobState
from trimtab.contracts.message import Message, decode, encode
from trimtab.jobs.identity import REQUESTS, job_digest, job_key
from trimtab.jobs.letters import DeadLetters
from trimtab.jobs.outcome import is_final
from trimtab.telemetry.logs import Logger
from trimtab.telemetry.metrics import JOBS_ENDED

_TIMEOUT_S = 5.0
_CLOSED_S = 2.0


@dataclass(frozen=True)
class Verb:
    """What a kind of job asks for."""

    perform: Callable[[Any, RequestContext], Awaitable[Message]]
    """The function of the online path."""
    budget_ms: int
    """How long one try may take."""


@dataclass(frozen=True, slots=True)
class _Delivery:
    """One delivery of one job."""

    message: Msg
    job: Job
    key: str
    body: bytes
    attempt: int
    """Counted from 1; deliveries that were excused are none."""


class JobRunner:
    """Performs and settles what was taken from the queue."""

    def __init__(
        self,
        connection: NatsClient,
        verbs: dict[JobKind, Verb],
        patience: Patience,
        log: Logger,
    ) -> None:
        self._js = connection.jetstream(timeout=_TIMEOUT_S)
        self._verbs = verbs
        self._patience = patience
        self._log = log
        self._records = JobRecords(connection)
        self._letters = DeadLetters(connection)

    async def work(self, message: Msg) -> None:
        """Settle one delivery; what could not be made durable is delivered again."""
        try:
            await self._settle(message)
        except asyncio.CancelledError:
            with contextlib.suppress(nats.errors.Error):
                await message.nak()
            raise
        except TrimtabError as error:
            self._log.warning("job_not_settled", code=error.code.value)
        except (nats.errors.Error, nats.js.errors.Error) as error:
            self._log.warning("job_not_settled", error=type(error).__name__)

    async def _settle(self, message: Msg) -> None:
        sequence = message.metadata.sequence.stream
        try:
            raw = await self._js.get_msg(subjects.JOBS_STREAM, sequence)
        except nats.js.errors.NotFoundError:
            await message.ack()  # somebody else settled it meanwhile
            return
        delivery = await self._opened(message, raw.data or b"")
        if delivery is None:
            return
        began = time.perf_counter()
        outcome = await self._try(delivery)
        self._log.info(
            "job",
            request_id=delivery.job.id,
            kind=delivery.job.kind.value,
            outcome=outcome,
            attempt=delivery.attempt,
            took_ms=round((time.perf_counter() - began) * 1000, 3),
        )

    async def _opened(self, message: Msg, body: bytes) -> _Delivery | None:
        """Return what is to be done; None when it is done already, or nobody can read it."""
        key = message.subject.rpartition(".")[2]
        try:
            job = _read(body, key)
        except InvalidMessage as error:
            await self._letters.write(unreadable(message.subject, body, error), body)
            await message.term()
            JOBS_ENDED.labels(JobState.DEAD.value).inc()
            self._log.warning("job_unreadable", bytes=len(body))
            return None
        record = await self._records.read(key)
        if record is not None and is_final(record) and record.replay >= job.replay:
            await message.ack()
            return None
        excused = 0 if record is None or is_final(record) else record.excused
        attempt = max(1, message.metadata.num_delivered - excused)
        return _Delivery(message, job, key, body, attempt)

    async def _try(self, delivery: _Delivery) -> str:
        """Perform a job once and settle it; returns the outcome for the log."""
        job = delivery.job
        try:
            self._check(delivery)
            request, verb = decode(REQUESTS[job.kind], job.request), self._verbs[job.kind]
            reply = await verb.perform(request, _context(job, verb.budget_ms))
            await self._finish(delivery, JobState.DONE, reply=encode(reply))
        except TrimtabError as error:
            await self._judge(delivery, error)
            return error.code.value
        except (nats.errors.Error, nats.js.errors.Error):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a verb raises, the job is tried again, then given up
            self._log.exception("job_crashed", error=type(error).__name__, request_id=job.id)
            await self._judge(delivery, InternalError())
            return InternalError.code.value
        return "ok"

    def _check(self, delivery: _Delivery) -> None:
        """Refuse what nobody waits for any more, and what outlived every gateway that took it."""
        left_s = delivery.job.deadline_at - time.time()
        if left_s <= 0:
            raise DeadlineExceeded("the job", left_s * 1000)
        if delivery.attempt > self._patience.tries:
            raise InternalError

    async def _judge(self, delivery: _Delivery, error: TrimtabError) -> None:
        late = time.time() >= delivery.job.deadline_at
        following = Next.END if late else self._patience.after(error, delivery.attempt)
        match following:
            case Next.END:
                await self._finish(delivery, JobState.FAILED, error=error)
            case Next.WAIT:
                await self._excuse(delivery)
            case Next.RETRY:
                await delivery.message.nak(delay=self._patience.delay_s(delivery.attempt))
            case Next.GIVE_UP:
                letter = given_up(delivery.key, delivery.job, error, delivery.attempt)
                await self._letters.write(letter, delivery.body)
                await self._finish(delivery, JobState.DEAD, error=error)

    async def _excuse(self, delivery: _Delivery) -> None:
        """Let it wait: an operator closed the pipeline for its tenant, which is no failure of the job."""
        excused = delivery.message.metadata.num_delivered - delivery.attempt + 1
        record = msgspec.structs.replace(waiting(delivery.job), excused=excused)
        await self._records.write(delivery.key, record)
        await delivery.message.nak(delay=_CLOSED_S)

    async def _finish(
        self,
        delivery: _Delivery,
        state: JobState,
        *,
        reply: bytes | None = None,
        error: TrimtabError | None = None,
    ) -> None:
        """Write the last word, then take the job out of the queue."""
        job, message = delivery.job, delivery.message
        record = JobRecord(
            id=job.id,
            kind=job.kind,
            state=state,
            at=time.time(),
            attempts=delivery.attempt,
            digest=job_digest(job),
            reply=reply,
            error=None if error is None else error.reply(),
            replay=job.replay,
        )
        await self._records.write(delivery.key, record)
        await (message.ack() if state is JobState.DONE else message.term())
        JOBS_ENDED.labels(state.value).inc()


def _context(job: Job, budget_ms: int) -> RequestContext:
    deadline_ms = min(int(job.deadline_at * 1000), now_ms() + budget_ms)
    return RequestContext(job.id, job.tenant, deadline_ms, unit=job.unit)


def _read(body: bytes, key: str) -> Job:
    """Return a job that lies under its own key; raises InvalidMessage."""
    job = decode(Job, body)
    if job_key(job.tenant, job.id) != key:
        raise InvalidMessage("Job", "its subject is another job's")
    return job
