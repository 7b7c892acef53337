"""What stands in a dead letter: ids, lengths, hashes and codes of a job that was given up. Pure."""

import hashlib
import time

from trimtab.contracts.errors import TrimtabError
from trimtab.contracts.jobs import DeadLetter, Job, JobKind
from trimtab.jobs.identity import job_digest, tenant_hash

_KINDS = frozenset(kind.value for kind in JobKind)


def given_up(key: str, job: Job, error: TrimtabError, attempts: int) -> DeadLetter:
    """Return the letter of a job that failed with ``error`` at its last try."""
    reply = error.reply()
    return DeadLetter(
        key=key,
        id=job.id,
        tenant_hash=tenant_hash(job.tenant),
        kind=job.kind,
        submitted_at=job.submitted_at,
        dead_at=time.time(),
        attempts=attempts,
        code=reply.code.value,
        error=reply.error,
        size=len(job.request),
        digest=job_digest(job),
        replay=job.replay,
    )


def unreadable(subject: str, body: bytes, error: TrimtabError) -> DeadLetter:
    """Return the letter of bytes that are no job, or another one than their subject says."""
    kind = subject.split(".")[2]
    digest = hashlib.sha256(body).hexdigest()
    now, reply = time.time(), error.reply()
    return DeadLetter(
        key=digest[:32],
        id="unreadable",
        tenant_hash=tenant_hash(""),
        kind=JobKind(kind) if kind in _KINDS else JobKind.MAP,
        submitted_at=now,
        dead_at=now,
        attempts=0,
        code=reply.code.value,
        error=reply.error,
        size=len(body),
        digest=digest,
    )
