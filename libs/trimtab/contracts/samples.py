"""Workers -> controller and operators: who is there, what they serve, how it goes."""

from enum import StrEnum
from typing import Annotated, Literal

from msgspec import Meta

from trimtab.contracts.control import Convergence, Phase
from trimtab.contracts.message import Message

QUEUE_LAG = "mapper_queue_lag_s"
"""Fact of a gateway: age of the oldest mapping job that nobody has finished, seconds."""

NPROBE = "nprobe."
"""Begins a fact of a retriever: nprobe of the component named after it, where nobody sets another."""

ADVICE = "advice."
"""Begins a fact of a retriever: why the index of the collection named after it should be built anew;
empty when it need not be, and when it does not serve."""


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


Obedience = Literal["converged", "lagging", "rejected", "stale", "silent"]
"""How one worker stands to the newest revision."""


class HealthRequest(Message, frozen=True, kw_only=True):
    """Anybody -> every worker (``trimtab.v1.health``, broadcast)."""


class StatusRequest(Message, frozen=True, kw_only=True):
    """Operator -> controller (``trimtab.op.v1.status``)."""

    every_alert: bool = False
    """Whether quiet alerts are wanted too, with what they measure."""


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
    obedience: Obedience = "converged"
    """Whether it obeys the newest revision."""
    obeys_why: str = ""
    """Why not, when it does not."""
    acknowledged_at: float = 0.0
    """Unix seconds of its acknowledgement of ``acknowledged``; 0 when this controller heard none."""
    acknowledged: int = 0
    """Newest revision that it said it obeys; 0 when this controller heard none."""


class ReleaseStatus(Message, frozen=True, kw_only=True):
    """One release that serves, or that a rollback returns to."""

    name: str
    """What operators call it."""
    role: Literal["stable", "canary", "previous"]
    """What it is to the deployment now."""
    hash: str
    """Of its manifest."""
    weight_bp: Annotated[int, Meta(ge=0, le=10_000)]
    """Share of requests it gets, by the control state; 0 for the previous one."""
    components: dict[str, str]
    """Stage -> component; a stage that it leaves out is not named."""


class GuardrailStatus(Message, frozen=True, kw_only=True):
    """What one guardrail of the ramp says, at the last look."""

    name: str
    """As in the policy."""
    severity: Literal["critical", "signal", "info"]
    """critical rolls back; signal holds; info is logged."""
    outcome: Literal["pass", "fail", "inconclusive", "error"]
    """Of the last look."""
    reason: str
    """The rates, and what is missing to pass, or was too much."""
    evidence: float
    """e-value: 1 says nothing; at least ``rejects_at`` fails."""
    rejects_at: float
    """One over the false alarms allowed to this guardrail."""


class RolloutStatus(Message, frozen=True, kw_only=True):
    """The ramp in progress, or the last one."""

    release: str
    """Being ramped."""
    policy: str
    """By name; empty: weights are set by hand."""
    phase: Phase
    """Where it is."""
    weight_bp: Annotated[int, Meta(ge=0, le=10_000)]
    """Share of requests the canary gets."""
    step: Annotated[int, Meta(ge=0)]
    """Counted from 1; 0 without a policy."""
    steps: Annotated[int, Meta(ge=0)]
    """Of the policy; 0 without one."""
    on_step_s: float
    """Seconds since the fleet converged on this step; 0 before that."""
    hold_s: float
    """Least seconds on this step; 0 without a policy."""
    cause: str
    """Why it is in this phase."""
    verdict: Literal["", "pass", "fail", "inconclusive", "error"] = ""
    """Of the last look; empty before the first, or when nothing is judged."""
    reason: str = ""
    """Of the verdict."""
    guardrails: list[GuardrailStatus] = []
    """In the policy's order; empty before the first look."""


class AlertStatus(Message, frozen=True, kw_only=True):
    """One trigger or alert."""

    name: str
    """As in the file."""
    severity: Literal["critical", "warning", "info"]
    """Who is woken: somebody, somebody in the morning, nobody."""
    state: Literal["quiet", "pending", "firing", "inhibited", "unknown"]
    """pending: the condition holds, not yet for its whole duration; inhibited: an order in force wants it so;
    unknown: nothing, or too little, was measured."""
    condition: str
    """For example ``map_fallback_rate > 10% for 10 minutes``."""
    measured: float | None
    """Last value: seconds, a share 0..1, texts per second, or 0 or 1; None when unknown."""
    requests: Annotated[int, Meta(ge=0)] = 0
    """What it was measured on."""
    since: float | None = None
    """Unix seconds since when the condition holds; None when inhibited."""
    notes: str = ""
    """What it means and what to do first."""


class BudgetStatus(Message, frozen=True, kw_only=True):
    """One objective's error budget, as this controller counted it."""

    objective: str
    """By name: retrieve, rerank, errors."""
    event: str
    """What makes a request bad: ``error``, or for example ``latency > 8ms``."""
    allowed: float
    """Share of requests that may be bad."""
    remaining: float
    """Share of thirty days' budget that is left: 1 untouched, 0 spent, below that overspent."""
    burn: dict[str, float]
    """Burn rate by window (5m, 30m, 1h, 6h): 1 spends exactly the budget; a window with too few requests is not named."""


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
    releases: list[ReleaseStatus] = []
    """Stable, then a canary that is being ramped, then the previous one."""
    rollout: RolloutStatus | None = None
    """The ramp in progress, or the last one; None when there never was one."""
    switches: list[str] = []
    """Kills in force, one line each, for people."""
    settings: list[str] = []
    """Settings in force that an operator or the controller set, one line each, for people."""
    frozen: str = ""
    """Who stopped automation, and why; empty while it runs."""
    alerts: list[AlertStatus] = []
    """What fires, is about to, or is kept silent by an order; all of them for who asked for every one."""
    budgets: list[BudgetStatus] = []
    """Error budgets, in the order of ``objectives.yaml``."""
