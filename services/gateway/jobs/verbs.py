"""The verbs of jobs: submit one, and say what became of it; the same over NATS and over HTTP."""

from nats.aio.client import Client as NatsClient

from services.gateway.jobs.records import JobRecords
from trimtab.contracts.errors import IdempotencyConflict, UnknownJob
from trimtab.contracts.headers import RequestContext
from trimtab.contracts.jobs import Job, JobQuery, JobRecord, JobState
from trimtab.jobs.identity import job_digest, job_key
from trimtab.jobs.outcome import is_final
from trimtab.jobs.queue import JobQueue


class Jobs:
    """What callers may ask of jobs."""

    def __init__(self, connection: NatsClient) -> None:
        self._queue = JobQueue(connection)
        self._records = JobRecords(connection)

    async def submit(self, job: Job) -> JobRecord:
        """Accept a job and return where it is; the same job again is found, not done twice.

        Raises:
            IdempotencyConflict: the tenant's job of this id is another one.
            NotReady: there is no queue yet.
            Overloaded: the queue is full.
            BusUnavailable: JetStream does not answer.
        """
        key = job_key(job.tenant, job.id)
        known = await self._known(key)
        if known is None and not await self._queue.submit(job):
            known = await self._known(key)
        if known is None:
            return waiting(job)
        if known.digest != job_digest(job):
            raise IdempotencyConflict(f"job id {job.id!r}", known.digest, job_digest(job))
        return known

    async def status(self, query: JobQuery, context: RequestContext) -> JobRecord:
        """Return what became of a job of the asking tenant.

        Raises:
            UnknownJob: it was never submitted, is another tenant's, or its result has expired.
            BusUnavailable: JetStream does not answer.
        """
        known = await self._known(job_key(context.tenant, query.id))
        if known is None:
            raise UnknownJob(query.id)
        return known

    async def _known(self, key: str) -> JobRecord | None:
        """Look at results first and last: a job may end between two looks."""
        record = await self._records.read(key)
        if record is not None and is_final(record) and record.state is not JobState.DEAD:
            return record
        job = await self._queue.waiting(key)
        if job is not None and (
            record is None or job.replay > record.replay or not is_final(record)
        ):
            return waiting(job, record)
        return await self._records.read(key)


def waiting(job: Job, record: JobRecord | None = None) -> JobRecord:
    """Return the record of a job that waits or is being worked on."""
    return JobRecord(
        id=job.id,
        kind=job.kind,
        state=JobState.PENDING,
        at=job.submitted_at,
        digest=job_digest(job),
        excused=record.excused if record is not None and not is_final(record) else 0,
        replay=job.replay,
    )
