"""What the controller answers to ``trimtab status``: the fleet, the releases and the ramp in one picture. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from services.controller.analysis import Finding, Verdict
from services.controller.convergence import Acknowledgements, convergence, obedience
from services.controller.policy import Policy
from services.controller.triggers import Watch
from trimtab.contracts.component import Release
from trimtab.contracts.control import (
    ACTIVE_PHASES,
    Canary,
    ControlState,
    Convergence,
)
from trimtab.contracts.samples import (
    AlertStatus,
    BudgetStatus,
    GuardrailStatus,
    ReleaseStatus,
    RolloutStatus,
    StatusReply,
    WorkerStatus,
)
from trimtab.control.effective import Controls


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything a status is made of, at one instant."""

    controls: Controls
    """In force."""
    workers: Sequence[WorkerStatus]
    """Of the fleet."""
    words: Acknowledgements
    """The last of each worker."""
    policy: Policy | None
    """Of the ramp; None when weights are set by hand or this controller knows no such policy."""
    verdict: Verdict | None
    """Of the last look; None when nothing is judged."""
    leader: str
    """Who leads."""
    now: float
    """Unix seconds."""
    watches: Sequence[Watch] = ()
    """Triggers and alerts, as of the last look."""
    every_alert: bool = False
    """Whether the quiet ones are wanted too."""
    budgets: Sequence[BudgetStatus] = ()
    """Error budgets."""


def status(scene: Scene) -> StatusReply:
    """Return the whole picture."""
    controls, state = scene.controls, scene.controls.state
    return StatusReply(
        at=scene.now,
        workers=[_obeying(worker, scene) for worker in scene.workers],
        revision=controls.revision,
        release=controls.release.name,
        canary=describe_canary(state),
        convergence=converged(scene.controls, scene.workers, scene.words, scene.now),
        leader=scene.leader,
        releases=_releases(state),
        rollout=_rollout(scene),
        switches=_switches(controls, scene.now),
        settings=_settings(state, scene.now),
        frozen=f"{state.freeze.actor}: {state.freeze.reason}" if state.freeze else "",
        alerts=_alerts(scene),
        budgets=list(scene.budgets),
    )


def converged(
    controls: Controls, workers: Sequence[WorkerStatus], words: Acknowledgements, now: float
) -> Convergence:
    """Return how far the fleet obeys the newest revision."""
    written_at = max([controls.state.at, *(kill.at for kill in controls.lane.kills)])
    return convergence(controls.revision, written_at, workers, words, now)


def describe_canary(state: ControlState) -> str:
    """Return the rollout in one line for people; empty when there never was one."""
    canary = state.canary
    if canary is None:
        return ""
    return f"{canary.release} {canary.weight_bp / 100:g} % {canary.phase.value}"


def _alerts(scene: Scene) -> list[AlertStatus]:
    """Return those that are not quiet, firing ones first; or all, in the files' order."""
    found = [
        AlertStatus(
            name=watch.trigger.name,
            severity=watch.trigger.severity,
            state=watch.state(scene.now),
            condition=watch.trigger.condition,
            measured=watch.measured,
            requests=watch.requests,
            since=watch.since,
            notes=watch.trigger.notes,
        )
        for watch in scene.watches
    ]
    if scene.every_alert:
        return found
    return sorted(
        (alert for alert in found if alert.state not in ("quiet", "unknown")),
        key=lambda alert: alert.state,
    )


def _obeying(worker: WorkerStatus, scene: Scene) -> WorkerStatus:
    word, why = obedience(worker, scene.words.of(worker.instance), scene.controls.revision)
    told = msgspec.structs.replace(worker, obedience=word, obeys_why=why)
    obeyed = scene.words.obeyed(worker.instance)
    if obeyed is None:
        return told
    return msgspec.structs.replace(told, acknowledged=obeyed.revision, acknowledged_at=obeyed.at)


def _releases(state: ControlState) -> list[ReleaseStatus]:
    canary = state.canary if state.canary and state.canary.phase in ACTIVE_PHASES else None
    weight = canary.weight_bp if canary else 0
    found = [_release(state.releases[state.stable], "stable", 10_000 - weight)]
    if canary is not None:
        found.append(_release(state.releases[canary.release], "canary", weight))
    if state.previous is not None and state.previous in state.releases:
        found.append(_release(state.releases[state.previous], "previous", 0))
    return found


def _release(
    release: Release, role: Literal["stable", "canary", "previous"], weight_bp: int
) -> ReleaseStatus:
    return ReleaseStatus(
        name=release.name,
        role=role,
        hash=release.hash,
        weight_bp=weight_bp,
        components={str(stage): version for stage, version in release.components.items()},
    )


def _rollout(scene: Scene) -> RolloutStatus | None:
    canary = scene.controls.state.canary
    if canary is None:
        return None
    policy, verdict = scene.policy, scene.verdict
    return RolloutStatus(
        release=canary.release,
        policy=canary.policy,
        phase=canary.phase,
        weight_bp=canary.weight_bp,
        step=canary.step + 1 if policy else 0,
        steps=len(policy.steps) if policy else 0,
        on_step_s=max(0.0, scene.now - canary.step_since) if _counts(canary) else 0.0,
        hold_s=policy.steps[canary.step].hold_s if policy else 0.0,
        cause=canary.cause,
        verdict=verdict.outcome.value if verdict else "",
        reason=verdict.reason if verdict else "",
        guardrails=[
            _guardrail(finding, policy) for finding in (verdict.findings if verdict else ())
        ],
    )


def _counts(canary: Canary) -> bool:
    return canary.phase in ACTIVE_PHASES and canary.step_since > 0


def _guardrail(finding: Finding, policy: Policy | None) -> GuardrailStatus:
    return GuardrailStatus(
        name=finding.guardrail.name,
        severity=finding.guardrail.severity,
        outcome=finding.outcome.value,
        reason=finding.reason,
        evidence=finding.evidence,
        rejects_at=1 / policy.alpha_each if policy else 0.0,
    )


def _switches(controls: Controls, now: float) -> list[str]:
    lines = []
    for kill in controls.kills(now):
        scope = f" for {kill.tenant or kill.detector}" if kill.tenant or kill.detector else ""
        left = "for ever" if kill.expires_at is None else f"{kill.expires_at - now:.0f} s left"
        lines.append(f"{kill.switch.value}={kill.value}{scope}, {left}, by {kill.actor}")
    return lines


def _settings(state: ControlState, now: float) -> list[str]:
    """Return the settings in force, everybody's first, then tenant by tenant."""
    lines = []
    for tenant, settings in {"": state.settings, **state.tenant_settings}.items():
        for name, setting in sorted(settings.items()):
            if setting.expires_at is not None and setting.expires_at <= now:
                continue
            scope = f" for {tenant}" if tenant else ""
            ends = setting.expires_at
            left = "until changed" if ends is None else f"{ends - now:.0f} s left"
            why = f": {setting.reason}" if setting.reason else ""
            lines.append(f"{name}={setting.value:g}{scope}, {left}, by {setting.actor}{why}")
    return lines
