"""Producer -> work queue -> gateway: requests that must not be lost, and what became of them."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from trimtab.contracts.errors import ErrorReply
from trimtab.contracts.message import Message

MAX_DEADLINE_S = 7 * 24 * 3600
"""Longest time a job may wait for its answer, seconds: a week."""

DEFAULT_DEADLINE_S = 24 * 3600
"""The same for a job that names none: a day."""

JOB_ID_PATTERN = r"^[A-Za-z0-9._-]{1,64}\Z"
"""Form of job ids: they travel in NATS headers as request ids."""

JobId = Annotated[str, Meta(pattern=JOB_ID_PATTERN)]
"""Unique within the tenant; the same id again is the same job."""

Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
"""sha256, hex."""


class JobKind(StrEnum):
    """Which verb a job asks for."""

    SEARCH = "search"
    MAP = "map"
    INGEST = "ingest"


class JobPriority(StrEnum):
    """Which jobs go first: normal ones wait while high ones do."""

    HIGH = "high"
    NORMAL = "normal"


class JobState(StrEnum):
    """Where a job is; the last three are final."""

    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"
    DEAD = "dead"


class Job(Message, frozen=True, kw_only=True):
    """Producer -> gateway, through ``TRIMTAB_JOBS`` (``trimtab.job.<kind>.<priority>.<key>``)."""

    id: JobId
    """Names the job and the request that it becomes."""
    kind: JobKind
    """Which verb."""
    tenant: Annotated[str, Meta(min_length=1, max_length=64)]
    """Whose request it is."""
    priority: JobPriority = JobPriority.NORMAL
    """Who goes first."""
    submitted_at: float
    """Unix seconds."""
    deadline_at: float
    """Unix seconds after which nobody wants the answer."""
    request: bytes
    """msgpack of the verb's contract: SearchRequest, MapCall or PutDocuments."""
    unit: str = ""
    """Caller's key: requests of one tenant with the same key get the same release."""
    replay: Annotated[int, Meta(ge=0)] = 0
    """How often it was taken back from the dead letters."""


class JobRecord(Message, frozen=True, kw_only=True):
    """Gateway -> whoever asks, and into ``TRIMTAB_RESULTS``: what became of a job."""

    id: JobId
    """Its name."""
    kind: JobKind
    """Which verb."""
    state: JobState
    """Where it is."""
    at: float
    """Unix seconds of this word; of the submission while it waits."""
    attempts: Annotated[int, Meta(ge=0)] = 0
    """Times it was tried."""
    digest: Digest
    """Of kind and request: tells the same job from another one under its id."""
    reply: bytes | None = None
    """msgpack of SearchReply, MapAnswer or PutReply; None unless done."""
    error: ErrorReply | None = None
    """Why there is no reply; None while it waits and when it is done."""
    excused: Annotated[int, Meta(ge=0)] = 0
    """Deliveries that were no attempt: the pipeline was closed."""
    replay: Annotated[int, Meta(ge=0)] = 0
    """Of the job that this is about."""


class JobQuery(Message, frozen=True, kw_only=True):
    """Anybody -> gateway (``trimtab.v1.job``): what became of a job of the tenant in the header."""

    id: JobId
    """Which one."""


class DeadLetter(Message, frozen=True, kw_only=True):
    """Gateway -> operator, in ``TRIMTAB_DLQ``: a job that was given up. Ids, lengths and codes; no text."""

    key: Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
    """Names it for replay and purge; the request lies under the same key."""
    id: JobId
    """Its name within its tenant."""
    tenant_hash: Annotated[str, Meta(pattern=r"^[0-9a-f]{12}\Z")]
    """First 12 digits of the sha256 of whose it was."""
    kind: JobKind
    """Which verb."""
    submitted_at: float
    """Unix seconds."""
    dead_at: float
    """Unix seconds."""
    attempts: Annotated[int, Meta(ge=0)]
    """Times it was tried."""
    code: str
    """Code of the last error."""
    error: str
    """Class name of the last error."""
    size: Annotated[int, Meta(ge=0)]
    """Bytes of its request."""
    digest: Digest
    """Of kind and request."""
    replay: Annotated[int, Meta(ge=0)] = 0
    """How often it had been replayed before."""
