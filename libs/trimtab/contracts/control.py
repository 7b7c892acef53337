"""The control documents, and what controller and workers say of them.

Two documents in one KV bucket, whose revisions are one total order: the *state* (what should serve)
and the *kill lane* (what must not), which always wins and which nobody else's write can delay.
"""

from enum import StrEnum
from typing import Annotated, Literal

from msgspec import Meta

from trimtab.contracts.component import Release
from trimtab.contracts.gates import GateReport
from trimtab.contracts.message import Message

Actor = Annotated[str, Meta(min_length=1, max_length=120)]
Reason = Annotated[str, Meta(max_length=500)]
ReleaseName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_.-]{0,79}\Z")]
WeightBp = Annotated[int, Meta(ge=0, le=10_000)]
"""Basis points: 10000 is everything."""

Value = float | int | str | bool


class Switch(StrEnum):
    """What can be switched in an emergency."""

    MAPPER_MODE = "mapper.mode"
    RERANKER = "reranker"
    RETRIEVER_IMPL = "retriever.impl"
    PIPELINE = "pipeline"
    RELEASE = "release"


SWITCH_VALUES: dict[Switch, tuple[str, ...] | None] = {
    Switch.MAPPER_MODE: ("rules_only",),
    Switch.RERANKER: ("off",),
    Switch.RETRIEVER_IMPL: None,
    Switch.PIPELINE: ("closed",),
    Switch.RELEASE: None,
}
"""Values a switch takes; None: a name (a query model; a release to ban)."""


class Kill(Message, frozen=True, kw_only=True):
    """One emergency override in force."""

    switch: Switch
    """What."""
    value: Annotated[str, Meta(min_length=1, max_length=120)]
    """Set to what."""
    tenant: Annotated[str, Meta(max_length=64)] = ""
    """Only for this tenant; empty: all."""
    detector: Annotated[str, Meta(max_length=64)] = ""
    """Only for this detector; empty: all."""
    actor: Actor
    """Who."""
    reason: Reason
    """Why."""
    at: float
    """Unix seconds of the command."""
    expires_at: float | None
    """Unix seconds after which every worker ignores it by its own clock; None: for ever."""


class KillLane(Message, frozen=True, kw_only=True):
    """The document under the key ``kill``."""

    operation: str
    """Id of the operation that wrote it."""
    kills: list[Kill]
    """In force or expired; expired ones are dropped at the next write."""
    at: float = 0.0
    """Unix seconds of the attempt that wrote it: tells two copies of one order apart."""


class Setting(Message, frozen=True, kw_only=True):
    """One tunable set by an operator or the controller."""

    value: Value
    """Within the bounds of ``trimtab.control.settings``."""
    actor: Actor
    """Who."""
    reason: Reason
    """Why."""
    expires_at: float | None
    """Unix seconds after which the default holds again; None: until changed."""


class Phase(StrEnum):
    """Where a rollout is; the table of moves is in the controller's ``rollout.py``."""

    RUNNING = "running"
    PAUSED = "paused"
    HOLDING = "holding"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"


ACTIVE_PHASES = frozenset({Phase.RUNNING, Phase.PAUSED, Phase.HOLDING})
"""Of a ramp that has not ended: its canary may get requests."""


class Canary(Message, frozen=True, kw_only=True):
    """The rollout in progress, or the last one: enough for another controller to go on with it."""

    release: ReleaseName
    """What is being ramped."""
    policy: Annotated[str, Meta(max_length=80)]
    """Ramp policy by name; empty: weights are set by hand."""
    weight_bp: WeightBp
    """Share of requests it gets."""
    phase: Phase
    """Where it is."""
    step: Annotated[int, Meta(ge=0)]
    """Index into the policy's steps."""
    step_since: float
    """Unix seconds when the fleet had converged on this step; evidence starts here. 0: not yet."""
    salt: Annotated[str, Meta(max_length=64)]
    """Makes the assignment of this rollout independent of the last one's."""
    cause: Reason = ""
    """Why it is in this phase."""


class Freeze(Message, frozen=True, kw_only=True):
    """Automation is stopped; kill and rollback pass through."""

    actor: Actor
    """Who."""
    reason: Reason
    """Why."""
    at: float
    """Unix seconds."""


class ControlState(Message, frozen=True, kw_only=True):
    """The document under the key ``state``: which releases serve, with what settings."""

    operation: str
    """Id of the operation that wrote this revision: a timed-out write is re-read, not repeated."""
    epoch: Annotated[int, Meta(ge=0)] = 0
    """Lease epoch of the controller that wrote it; an older epoch's write is refused."""
    stable: ReleaseName
    """Release that serves."""
    previous: ReleaseName | None = None
    """Release that rollback returns to; kept loaded by every worker."""
    releases: dict[str, Release]
    """Every known release by name."""
    canary: Canary | None = None
    """The rollout in progress, or the last one."""
    settings: dict[str, Setting] = {}
    """Tunables by dotted name."""
    tenant_settings: dict[str, dict[str, Setting]] = {}
    """The same for one tenant: tenant -> name -> setting."""
    freeze: Freeze | None = None
    """Set while automation is stopped."""
    gates: dict[str, dict[str, GateReport]] = {}
    """What was measured of releases: release -> gate -> newest report."""
    actor: Actor
    """Who wrote this revision."""
    reason: Reason
    """Why."""
    at: float = 0.0
    """Unix seconds of the write."""


class Hint(Message, frozen=True, kw_only=True):
    """Writer -> everybody (``trimtab.ctl.hint``), after the write succeeded: the new documents."""

    state: ControlState
    """As stored."""
    state_revision: int
    """Its KV revision."""
    lane: KillLane
    """As stored."""
    lane_revision: int
    """Its KV revision; 0 while there never was one."""


class Heartbeat(Message, frozen=True, kw_only=True):
    """Leading controller -> everybody once a second (``trimtab.ctl.heartbeat``)."""

    epoch: Annotated[int, Meta(ge=0)]
    """Of the lease; workers ignore an older one."""
    instance: str
    """Who leads."""
    state_revision: int
    """Newest known; a worker that is behind reads."""
    lane_revision: int
    """Newest known."""


class LeaseDocument(Message, frozen=True, kw_only=True):
    """The document under the key ``leader``."""

    instance: str
    """Who leads."""
    epoch: Annotated[int, Meta(ge=0)]
    """Revision at which it took the lease; 0 in the very write that takes it."""
    free: bool
    """Given up in order: the next candidate need not wait."""


class ApplyStatus(StrEnum):
    """What became of a revision in one worker."""

    PREPARING = "preparing"
    APPLIED = "applied"
    REJECTED = "rejected"
    EXPIRED = "expired"
    STALE = "stale"


class Applied(Message, frozen=True, kw_only=True):
    """Worker -> everybody (``trimtab.evt.applied.<service>.<instance>``): the acknowledgement."""

    service: str
    """Which service."""
    instance: str
    """Which process."""
    revision: int
    """Newest revision obeyed (or refused, when rejected): the greater of the two documents'."""
    status: ApplyStatus
    """What became of it."""
    reason: str
    """Why, when it was not simply applied."""
    apply_ms: float
    """From hearing of it to the swap."""
    effective_hash: str
    """Of the configuration now in force; equal hashes obey the same."""
    at: float
    """Unix seconds."""


class Convergence(Message, frozen=True, kw_only=True):
    """How far the fleet has come to obeying the newest revision."""

    revision: int
    """Newest revision written."""
    status: Literal["propagating", "converged", "lagging", "rejected", "stale"]
    """propagating: within the time a worker may take; converged: all obey it."""
    applied: int
    """Workers that obey it."""
    total: int
    """Workers that are alive."""
    lagging: list[str]
    """``instance: why`` of those that do not."""
