"""What an incident file tells of the deployment beside the audit: who runs what, what alarms, what was asked."""

import time
from dataclasses import dataclass

from trimtab.audit.incident import Acknowledged, Answered, Observed
from trimtab.bus.explanations import Explanations
from trimtab.client import Client
from trimtab.contracts.errors import BusUnavailable, DeadlineExceeded, NoWorkers
from trimtab.contracts.samples import AlertStatus, StatusReply
from trimtab.control.store import ControlStore

MOST_ANSWERS = 500
"""Newest kept explanations that are looked at: about half a second."""


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """One worker; its figures are of the last minute, None where no controller told them."""

    service: str
    instance: str
    version: str
    readiness: str
    revision: int
    """That it obeys; 0 for one that obeys none."""
    components: list[str]
    acknowledged_at: float | None
    """Unix seconds when it first said that it obeys its newest revision."""
    requests: int | None
    errors: int | None
    p95_ms: float | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Figures at one moment."""

    at: float
    """Unix seconds."""
    revision: int
    release: str
    """Stable one."""
    canary: str
    """In one line; empty without."""
    leader: str
    """Controller that leads; empty when none answered."""
    workers: list[WorkerRow]
    alerts: list[AlertStatus]
    """All of them."""
    switches: list[str]
    settings: list[str]
    frozen: str
    missing: list[str]
    """What could not be had, and why."""


async def take(client: Client, timeout_s: float) -> tuple[Snapshot, StatusReply | None]:
    """Return the figures of now, and what the controller said; without one, what the workers say themselves."""
    try:
        status = await client.status(timeout_s=timeout_s, every_alert=True)
    except (NoWorkers, DeadlineExceeded):
        return await _without_controller(client), None
    return _told(status), status


def observed(snapshot: Snapshot, status: StatusReply | None, answered: list[Answered]) -> Observed:
    """Return what an incident is made of beside the audit."""
    return Observed(
        stable=snapshot.release,
        acknowledged=[
            Acknowledged(worker.acknowledged, worker.acknowledged_at, snapshot.at - worker.uptime_s)
            for worker in (status.workers if status is not None else [])
            if worker.revision and not worker.silent
        ],
        answered=answered,
    )


async def answers(client: Client, since: float) -> tuple[list[Answered], str]:
    """Return the kept searches after ``since``, unix seconds, and which cannot be had, and why."""
    try:
        found = await Explanations(client.connection).newest(since, MOST_ANSWERS)
    except BusUnavailable as error:
        return [], f"kept explanations: {error.detail}"
    why = ""
    if found.unreadable:
        why = f"kept explanations: {found.unreadable} that this version cannot read are left out"
    return [Answered(e.request_id, e.at, e.release, e.revision) for e in found.explanations], why


def _told(status: StatusReply) -> Snapshot:
    return Snapshot(
        at=status.at,
        revision=status.revision,
        release=status.release,
        canary=status.canary,
        leader=status.leader,
        workers=[
            WorkerRow(
                service=worker.service,
                instance=worker.instance,
                version=worker.version,
                readiness="silent" if worker.silent else worker.readiness.value,
                revision=worker.revision,
                components=sorted(worker.components),
                acknowledged_at=worker.acknowledged_at or None,
                requests=worker.requests,
                errors=worker.errors,
                p95_ms=worker.p95_ms,
            )
            for worker in status.workers
        ],
        alerts=status.alerts,
        switches=status.switches,
        settings=status.settings,
        frozen=status.frozen,
        missing=[],
    )


async def _without_controller(client: Client) -> Snapshot:
    controls = await (await ControlStore.open(client.connection)).read()
    canary = controls.state.canary
    return Snapshot(
        at=time.time(),
        revision=controls.revision,
        release=controls.state.stable,
        canary=f"{canary.release} {canary.phase.value}" if canary else "",
        leader="",
        workers=[
            WorkerRow(
                service=sample.service,
                instance=sample.instance,
                version=sample.version,
                readiness=sample.readiness.value,
                revision=sample.revision,
                components=sorted(sample.components),
                acknowledged_at=None,
                requests=None,
                errors=None,
                p95_ms=None,
            )
            for sample in await client.health()
        ],
        alerts=[],
        switches=[f"{kill.switch.value}={kill.value}" for kill in controls.kills(time.time())],
        settings=[f"{name}={each.value}" for name, each in controls.state.settings.items()],
        frozen=controls.state.freeze.actor if controls.state.freeze else "",
        missing=["no controller answers: alarms, acknowledgements and figures are not known"],
    )
