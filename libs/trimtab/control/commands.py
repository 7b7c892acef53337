"""What a command does to the documents: a pure function, shared by the controller and ``--direct``.

Every command is idempotent: asked for what already is, it returns the same documents.
"""

from dataclasses import dataclass
from typing import Any, TypeVar, assert_never

import msgspec

from trimtab.contracts.component import Release
from trimtab.contracts.control import (
    ACTIVE_PHASES,
    SWITCH_VALUES,
    Canary,
    ControlState,
    Freeze,
    Kill,
    KillLane,
    Phase,
    Setting,
    Switch,
)
from trimtab.contracts.errors import InvalidCommand, ReleaseExists, ReleaseInUse, UnknownRelease
from trimtab.contracts.gates import GateReport
from trimtab.contracts.orders import (
    AbortCommand,
    Command,
    CreateReleaseCommand,
    DeleteReleaseCommand,
    FreezeCommand,
    KillCommand,
    PauseCommand,
    PromoteCommand,
    RecordGateCommand,
    RestoreCommand,
    ResumeCommand,
    RollBackCommand,
    SetCommand,
    SetWeightCommand,
    StartCanaryCommand,
)
from trimtab.control.tunables import checked, checked_in_release, scoped, tunable_of

LANE_COMMANDS = (KillCommand, RestoreCommand)
"""Those that write the kill lane; all others write the state."""

S = TypeVar("S", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class By:
    """Who asks, why and when: stamped on everything a command writes."""

    actor: str
    """Who."""
    reason: str
    """Why."""
    now: float
    """Unix seconds."""


def change_lane(lane: KillLane, command: KillCommand | RestoreCommand, by: By) -> KillLane:
    """Return the kill lane after a kill or a restore; expired kills are dropped on the way.

    Raises:
        InvalidCommand: the switch does not take this value or scope.
    """
    alive = [k for k in lane.kills if k.expires_at is None or k.expires_at > by.now]
    if isinstance(command, RestoreCommand):
        return _with(lane, kills=[kill for kill in alive if not _same(kill, command)])
    allowed = SWITCH_VALUES[command.switch]
    if allowed is not None and command.value not in allowed:
        raise InvalidCommand(
            f"{command.switch} takes {' or '.join(allowed)}, not {command.value!r}"
        )
    if command.detector and command.switch is not Switch.MAPPER_MODE:
        raise InvalidCommand(f"{command.switch} cannot be limited to a detector")
    if command.tenant and command.switch is Switch.RELEASE:
        raise InvalidCommand("a release is banned for everybody, not for one tenant")
    expires_at = None if command.ttl_s is None else by.now + command.ttl_s
    kill = Kill(
        switch=command.switch,
        value=command.value,
        tenant=command.tenant,
        detector=command.detector,
        actor=by.actor,
        reason=by.reason,
        at=by.now,
        expires_at=expires_at,
    )
    return _with(lane, kills=[*(k for k in alive if not _same(k, command)), kill])


def change_state(  # noqa: C901 - one line per command, nothing nested
    state: ControlState, command: Command, by: By
) -> ControlState:
    """Return the state after a command that is not a kill.

    Raises:
        OperatorError: the command does not fit the present state; nothing changes.
    """
    match command:
        case SetCommand():
            return _set(state, command, by)
        case CreateReleaseCommand():
            return _create(state, command.release)
        case DeleteReleaseCommand():
            return _delete(state, command.release)
        case StartCanaryCommand():
            return _start(state, command, by)
        case SetWeightCommand():
            canary = _active(state)
            return _with(state, canary=_with(canary, weight_bp=command.weight_bp, policy=""))
        case PauseCommand():
            return _phase(state, Phase.PAUSED, by.reason or "paused by hand")
        case ResumeCommand():
            return _phase(state, Phase.RUNNING, by.reason or "resumed by hand")
        case PromoteCommand():
            return promoted(state, by.reason or "promoted by hand")
        case AbortCommand():
            return _aborted(state, by.reason or "aborted by hand")
        case RollBackCommand():
            return _roll_back(state, command, by)
        case FreezeCommand():
            return _freeze(state, command, by)
        case RecordGateCommand():
            return _record(state, command.report)
        case KillCommand() | RestoreCommand():
            raise InvalidCommand("a kill is written to its own lane")
        case _:
            assert_never(command)


def promoted(state: ControlState, cause: str) -> ControlState:
    """Return the state with the canary as the stable release; the old one stays warm."""
    canary = _active(state)
    return _with(
        state,
        stable=canary.release,
        previous=state.stable,
        canary=_with(canary, phase=Phase.PROMOTED, weight_bp=0, cause=cause),
    )


def rolled_back(state: ControlState, cause: str) -> ControlState:
    """Return the state with the running canary taken back; the stable release serves everything."""
    canary = _active(state)
    taken = _with(canary, phase=Phase.ROLLED_BACK, weight_bp=0, cause=cause)
    return _with(state, canary=taken)


def _set(state: ControlState, command: SetCommand, by: By) -> ControlState:
    name = scoped(command.name, command.detector)
    if command.tenant and not tunable_of(name).per_tenant:
        raise InvalidCommand(f"{name} is shared by all tenants; leave the tenant out")
    target = state.tenant_settings.get(command.tenant, {}) if command.tenant else state.settings
    settings = dict(target)
    if command.value is None:
        settings.pop(name, None)
    else:
        value = checked(name, command.value)
        expires_at = None if command.ttl_s is None else by.now + command.ttl_s
        settings[name] = Setting(
            value=value, actor=by.actor, reason=by.reason, expires_at=expires_at
        )
    if not command.tenant:
        return _with(state, settings=settings)
    tenants = {**state.tenant_settings, command.tenant: settings}
    return _with(state, tenant_settings={t: s for t, s in tenants.items() if s})


def _create(state: ControlState, release: Release) -> ControlState:
    stored = state.releases.get(release.name)
    if stored is not None and stored.hash != release.hash:
        raise ReleaseExists(release.name, stored.hash, release.hash)
    for name, value in release.settings.items():
        checked_in_release(name, value)
    return _with(state, releases={**state.releases, release.name: release})


def _delete(state: ControlState, name: str) -> ControlState:
    """Forget a release and what was measured of it; an ended canary keeps its name, as history."""
    if name == state.stable:
        raise ReleaseInUse(name, "the stable release", "promote another one first")
    if name == state.previous:
        raise ReleaseInUse(
            name, "the previous release, to which a rollback returns", "promote another one first"
        )
    canary = state.canary
    if canary is not None and canary.phase in ACTIVE_PHASES and canary.release == name:
        raise ReleaseInUse(name, "being ramped", "`trimtab canary abort` first")
    releases, gates = dict(state.releases), dict(state.gates)
    releases.pop(name, None)
    gates.pop(name, None)
    return _with(state, releases=releases, gates=gates)


def _start(state: ControlState, command: StartCanaryCommand, by: By) -> ControlState:
    _known(state, command.release)
    running = state.canary
    if running is not None and running.phase in ACTIVE_PHASES:
        if (running.release, running.policy) == (command.release, command.policy):
            return state
        raise InvalidCommand(f"{running.release} is being ramped; promote or abort it first")
    if command.release == state.stable:
        raise InvalidCommand(f"{command.release} is the stable release already")
    if state.freeze is not None:
        raise InvalidCommand(f"frozen by {state.freeze.actor}; `trimtab freeze off` first")
    canary = Canary(
        release=command.release,
        policy=command.policy,
        weight_bp=command.weight_bp,
        phase=Phase.RUNNING,
        step=0,
        step_since=0.0,
        salt=f"{command.release}/{by.now:.3f}",
        cause=by.reason,
    )
    return _with(state, canary=canary)


def _phase(state: ControlState, phase: Phase, cause: str) -> ControlState:
    canary = _active(state)
    if canary.phase is phase:
        return state
    return _with(state, canary=_with(canary, phase=phase, cause=cause))


def _aborted(state: ControlState, cause: str) -> ControlState:
    canary = state.canary
    if canary is not None and canary.phase is Phase.ABORTED:
        return state
    taken = _with(_active(state), phase=Phase.ABORTED, weight_bp=0, cause=cause)
    return _with(state, canary=taken)


def _roll_back(state: ControlState, command: RollBackCommand, by: By) -> ControlState:
    cause = by.reason or "rolled back by hand"
    if command.to is None and state.canary is not None and state.canary.phase in ACTIVE_PHASES:
        return rolled_back(state, cause)
    target = command.to or state.previous
    if target is None:
        raise InvalidCommand("there is no previous release to return to; name one with --to")
    _known(state, target)
    if state.canary is not None and state.canary.phase in ACTIVE_PHASES:
        state = rolled_back(state, cause)
    if target == state.stable:
        return state
    return _with(state, stable=target, previous=state.stable)


def _freeze(state: ControlState, command: FreezeCommand, by: By) -> ControlState:
    if command.on == (state.freeze is not None):
        return state
    freeze = Freeze(actor=by.actor, reason=by.reason, at=by.now) if command.on else None
    return _with(state, freeze=freeze)


def _record(state: ControlState, report: GateReport) -> ControlState:
    _known(state, report.release)
    found = state.releases[report.release].hash
    if report.release_hash != found:
        raise InvalidCommand(
            f"the report is of {report.release_hash}, {report.release} is {found}; measure it again"
        )
    reports = {**state.gates.get(report.release, {}), report.gate.value: report}
    return _with(state, gates={**state.gates, report.release: reports})


def _active(state: ControlState) -> Canary:
    if state.canary is None or state.canary.phase not in ACTIVE_PHASES:
        raise InvalidCommand("no canary is running; `trimtab canary start RELEASE` begins one")
    return state.canary


def _known(state: ControlState, release: str) -> None:
    if release not in state.releases:
        raise UnknownRelease(release, tuple(sorted(state.releases)))


def _same(kill: Kill, command: KillCommand | RestoreCommand) -> bool:
    scope = (kill.switch, kill.tenant, kill.detector)
    if scope != (command.switch, command.tenant, command.detector):
        return False
    # Several releases can be banned at once; every other switch has one value per scope.
    banned = kill.switch is Switch.RELEASE and bool(command.value)
    return not banned or kill.value == command.value


def difference(before: Any, after: Any, path: str = "") -> list[str]:
    """Return one line per changed value, ``path: before -> after``; who and when are left out."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = sorted(set(before) | set(after))
        return [
            line
            for key in keys
            if key not in _STAMPS
            for line in difference(before.get(key), after.get(key), f"{path}.{key}".lstrip("."))
        ]
    return [] if before == after else [f"{path}: {_shown(before)} -> {_shown(after)}"]


_STAMPS = frozenset({"operation", "epoch", "actor", "reason", "at"})


def _shown(value: Any) -> str:
    return "none" if value is None else msgspec.json.encode(value).decode()


def lane_difference(before: KillLane, after: KillLane) -> list[str]:
    """Return one line per kill that was added or taken back."""
    old, new = ({_named(kill): kill for kill in lane.kills} for lane in (before, after))
    gone = [f"- {name}" for name in old if name not in new]
    return gone + [f"+ {name}" for name, kill in new.items() if old.get(name) != kill]


def _named(kill: Kill) -> str:
    scope = " ".join(
        f"{kind} {name}"
        for kind, name in (("tenant", kill.tenant), ("detector", kill.detector))
        if name
    )
    return f"{kill.switch}={kill.value} for {scope or 'everybody'}"


def document_difference(before: msgspec.Struct, after: msgspec.Struct) -> list[str]:
    """Return the difference of two documents."""
    return difference(msgspec.to_builtins(before), msgspec.to_builtins(after))


def _with(struct: S, **changes: Any) -> S:
    return msgspec.structs.replace(struct, **changes)
