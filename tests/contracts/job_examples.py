"""One hand-made, realistic value of every contract of jobs and of idempotency."""

import msgspec

from trimtab.contracts.errors import ErrorCode, ErrorReply
from trimtab.contracts.idempotency import StoredAnswer
from trimtab.contracts.jobs import (
    DeadLetter,
    Job,
    JobKind,
    JobPriority,
    JobQuery,
    JobRecord,
    JobState,
)
from trimtab.contracts.message import encode
from trimtab.contracts.pipeline import MapCall
from trimtab.jobs.identity import job_digest, job_key, tenant_hash


def job_examples() -> list[msgspec.Struct]:
    """Return one value of each."""
    job = Job(
        id="nightly-17",
        kind=JobKind.MAP,
        tenant="acme",
        priority=JobPriority.HIGH,
        submitted_at=1790000000.0,
        deadline_at=1790003600.0,
        request=encode(MapCall(output="hate/threatening", detector="openai-moderation")),
        unit="user-7",
        replay=1,
    )
    record = JobRecord(
        id=job.id,
        kind=job.kind,
        state=JobState.DEAD,
        at=1790000060.0,
        attempts=5,
        digest=job_digest(job),
        reply=None,
        error=ErrorReply(
            code=ErrorCode.NO_WORKERS,
            error="NoWorkers",
            detail="no worker serves a.subject; start one",
            retryable=True,
        ),
        excused=2,
        replay=1,
    )
    letter = DeadLetter(
        key=job_key(job.tenant, job.id),
        id=job.id,
        tenant_hash=tenant_hash(job.tenant),
        kind=job.kind,
        submitted_at=job.submitted_at,
        dead_at=record.at,
        attempts=5,
        code="no_workers",
        error="NoWorkers",
        size=len(job.request),
        digest=job_digest(job),
        replay=1,
    )
    answer = StoredAnswer(digest="ab" * 32, expires_at=1790000600.0, status=200, body=b"{}")
    return [job, record, JobQuery(id=job.id), letter, answer]
