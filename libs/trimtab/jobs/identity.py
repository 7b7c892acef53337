"""What tells one job from every other: its key in subjects, and the digest of what it asks for. Pure."""

import hashlib

from trimtab.contracts.documents import PutDocuments, PutReply
from trimtab.contracts.jobs import Job, JobKind
from trimtab.contracts.message import Message
from trimtab.contracts.pipeline import MapAnswer, MapCall, SearchReply, SearchRequest

REQUESTS: dict[JobKind, type[Message]] = {
    JobKind.SEARCH: SearchRequest,
    JobKind.MAP: MapCall,
    JobKind.INGEST: PutDocuments,
}
"""Contract of each kind's request."""

REPLIES: dict[JobKind, type[Message]] = {
    JobKind.SEARCH: SearchReply,
    JobKind.MAP: MapAnswer,
    JobKind.INGEST: PutReply,
}
"""Contract of each kind's reply."""


def kind_of(request: Message) -> JobKind:
    """Return the kind of job that a request becomes.

    Raises:
        KeyError: no job does this; a fault of the program, not of its input.
    """
    return {contract: kind for kind, contract in REQUESTS.items()}[type(request)]


def job_key(tenant: str, name: str) -> str:
    """Return the subject token of a job, 32 hex digits: two tenants may use the same id."""
    return hashlib.sha256(f"{tenant}\0{name}".encode()).hexdigest()[:32]


def job_digest(job: Job) -> str:
    """Return the sha256 of what a job asks for."""
    return hashlib.sha256(job.kind.value.encode() + b"\0" + job.request).hexdigest()


def tenant_hash(tenant: str) -> str:
    """Return what stands for a tenant where its name must not: 12 hex digits."""
    return hashlib.sha256(tenant.encode()).hexdigest()[:12]
