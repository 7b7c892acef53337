"""Workers -> controller and operators: who is there, what they serve, how it goes."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from trimtab.contracts.control import Convergence
from trimtab.contracts.message import Message


class Readiness(StrEnum):
    """Whether a worker should get requests."""

    STARTING = "starting"
    READY = "ready"
    DEGRADED = "degraded"
    DRAINING = "draining"


class EndpointSample(Message, frozen=True, kw_only=True):
    """What one endpoint of a worker did in the sample's interval."""

    endpoint: str
    """Stage verb: encode, retrieve, score, rerank, map, search, ..."""
    component: str
    """Component version that served."""
    release: str
    """Release named by the requests; empty when none was."""
    role: str = ""
    """What that release was to the rollout: stable, canary, control; empty when none was named."""
    outcomes: dict[str, int]
    """Requests by outcome: ``ok`` or an error code."""
    latency: bytes
    """Serialised KLL sketch (datasketches, f64) of service times, milliseconds; mergeable."""
    bad: dict[str, int]
    """Quality as counts of bad events, by name: fallback_low_confidence, empty_result, token_overflow, ..."""


class Sample(Message, frozen=True, kw_only=True):
    """Worker -> controller once a second (``trimtab.evt.sample.<service>.<instance>``)."""

    service: str
    """encoder, retriever, reranker, mapper, gateway, controller."""
    instance: str
    """Unique per process."""
    version: str
    """Version of the code."""
    readiness: Readiness
    """Whether it should get requests."""
    reason: str
    """Why it is not simply ready; empty when it is."""
    components: dict[str, str]
    """Component -> content hash, of everything it has loaded."""
    revision: int
    """Control revision it obeys; 0 before the first."""
    effective_hash: str = ""
    """Of the configuration in force; equal hashes obey the same."""
    stale: bool = False
    """No heartbeat for 15 s: what it obeys may be old."""
    started_at: float
    """Unix seconds."""
    at: float
    """Unix seconds of the end of the interval."""
    interval_s: Annotated[float, Meta(gt=0)]
    """Length of the interval."""
    rss_bytes: int
    """Resident memory."""
    in_flight: int
    """Requests being worked on now."""
    endpoints: list[EndpointSample]
    """One per (endpoint, component, release) that got requests."""
    facts: dict[str, float | int | str] = {}
    """What the service wants known: index sizes, applied sequence, cache hit ratio, mean norm."""


class HealthRequest(Message, frozen=True, kw_only=True):
    """Anybody -> every worker (``trimtab.v1.health``, broadcast)."""


class StatusRequest(Message, frozen=True, kw_only=True):
    """Operator -> controller (``trimtab.op.v1.status``)."""


class WorkerStatus(Message, frozen=True, kw_only=True):
    """One worker as the controller sees it."""

    service: str
    """Which service."""
    instance: str
    """Which process."""
    version: str
    """Version of the code."""
    readiness: Readiness
    """Its own word, or ``draining`` when it said good-bye."""
    reason: str
    """Why it is not simply ready."""
    components: dict[str, str]
    """What it has loaded."""
    revision: int
    """Control revision it obeys."""
    age_s: float
    """Seconds since its last sample; over 3 it counts as silent."""
    silent: bool
    """No sample for more than 3 s."""
    uptime_s: float
    """Seconds since it started."""
    rss_bytes: int
    """Resident memory."""
    requests: int
    """Requests in the last minute."""
    errors: int
    """Of them, answered with an error that is ours (5xx)."""
    p95_ms: float | None
    """95th percentile of service time in the last minute; None without requests."""
    facts: dict[str, float | int | str]
    """What the service wants known."""
    effective_hash: str = ""
    """Of the configuration in force."""
    stale: bool = False
    """No heartbeat for 15 s."""


class StatusReply(Message, frozen=True, kw_only=True):
    """Controller -> operator."""

    at: float
    """Unix seconds."""
    workers: list[WorkerStatus]
    """Sorted by service, then instance."""
    revision: int
    """Newest control revision."""
    release: str
    """Stable release."""
    canary: str = ""
    """Release being ramped, its weight and phase, for people; empty when there is none."""
    convergence: Convergence | None = None
    """How far the fleet obeys the newest revision; None when this controller knows no revision."""
    leader: str = ""
    """Controller that leads."""
