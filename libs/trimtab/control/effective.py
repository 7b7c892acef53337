"""What is in force: one pure function of the documents, shared by workers, CLI and tests.

``defaults < release < desired < tenant override < kill``. Expiry is decided here, by the caller's
clock, so that every worker ends a kill by itself.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from trimtab.contracts.component import Release, Stage
from trimtab.contracts.control import (
    ACTIVE_PHASES,
    Canary,
    ControlState,
    Kill,
    KillLane,
    Setting,
    Switch,
    Value,
)
from trimtab.contracts.mapping import MappingMode
from trimtab.control.assignment import Role
from trimtab.control.tunables import QUERY_MODEL, checked, tunable_of


@dataclass(frozen=True, slots=True)
class Controls:
    """One revision of both documents; immutable, so a request that holds it is never split."""

    state: ControlState
    """The desired state."""
    state_revision: int
    """Its KV revision."""
    lane: KillLane
    """The kill lane."""
    lane_revision: int
    """Its KV revision; 0 while there never was one."""

    @property
    def revision(self) -> int:
        """The newer of the two: the bucket's revisions are one total order."""
        return max(self.state_revision, self.lane_revision)

    @property
    def release(self) -> Release:
        """The stable release."""
        return self.state.releases[self.state.stable]

    def named(self, *names: str) -> list[Release]:
        """Return the releases of those names; one that does not exist is left out."""
        return [self.state.releases[name] for name in names if name in self.state.releases]

    def kills(self, now: float) -> Iterator[Kill]:
        """Yield the kills in force at ``now`` (unix seconds)."""
        for kill in self.lane.kills:
            if kill.expires_at is None or kill.expires_at > now:
                yield kill


def needed(controls: Controls, stage: Stage) -> list[str]:
    """Return the components of one stage that may be asked for: stable, previous, running canary."""
    state = controls.state
    ramping = state.canary is not None and state.canary.phase in ACTIVE_PHASES
    names = [state.stable, state.previous]
    if state.canary is not None and ramping:
        names.append(state.canary.release)
    return _named_by((state.releases[name] for name in names if name in state.releases), stage)


def offered(controls: Controls, stage: Stage) -> list[str]:
    """Return the components of one stage that a next canary may ask for: every known release's."""
    asked = needed(controls, stage)
    known = _named_by(controls.state.releases.values(), stage)
    return [component for component in known if component not in asked]


def wanted(controls: Controls, stage: Stage) -> list[str]:
    """Return every component of one stage that a worker keeps loaded, the most needed ones first."""
    return [*needed(controls, stage), *offered(controls, stage)]


def _named_by(releases: Iterable[Release], stage: Stage) -> list[str]:
    """Return what releases name for one stage, each once; a query model with its version is the retriever's, too."""
    found: list[str | None] = []
    for release in releases:
        found.append(getattr(release, stage))
        model = str(release.settings.get(QUERY_MODEL, ""))
        if stage == "retrieve" and "@" in model:
            found.append(model)
    return list(dict.fromkeys(component for component in found if component is not None))


def banned_releases(controls: Controls, now: float) -> set[str]:
    """Return the names of the releases that must serve nothing at ``now``."""
    return {kill.value for kill in controls.kills(now) if kill.switch is Switch.RELEASE}


@dataclass(frozen=True, slots=True)
class Routing:
    """Which releases serve, and how much the canary gets."""

    stable: Release
    """Serves everything else."""
    canary: Release | None
    """Serves ``weight_bp`` of 10000 requests; None: nothing."""
    weight_bp: int
    """0-10000."""
    salt: str
    """Of the assignment."""

    def release_of(self, role: Role) -> Release:
        """Return the release that serves a role."""
        return self.canary if role is Role.CANARY and self.canary is not None else self.stable


def routing(controls: Controls, *, now: float, leased: bool) -> Routing:
    """Return which releases serve at ``now``.

    ``leased`` is whether a controller's heartbeat renewed the canary's lease: without one the canary
    gets nothing. A banned release is never served: a banned canary gets nothing, and in place of a
    banned stable release its predecessor serves when there is one that is not banned.
    """
    banned = banned_releases(controls, now)
    state = controls.state
    stable = state.releases[state.stable]
    if state.stable in banned and state.previous and state.previous not in banned:
        stable = state.releases[state.previous]
    canary = state.canary
    if canary is None or not _gets_requests(canary, banned, leased=leased):
        return Routing(stable, None, 0, canary.salt if canary else "")
    return Routing(stable, state.releases[canary.release], canary.weight_bp, canary.salt)


def _gets_requests(canary: Canary, banned: set[str], *, leased: bool) -> bool:
    serving = canary.phase in ACTIVE_PHASES and canary.weight_bp > 0
    return serving and leased and canary.release not in banned


@dataclass(frozen=True, slots=True)
class Effective:
    """What one request must obey."""

    open: bool
    """False: refuse it, the pipeline is closed."""
    mapper_mode: MappingMode
    """Whether the model may decide."""
    reranker_on: bool
    """False: keep the retrieval order."""
    retriever_impl: str | None
    """Query model to use; None: the release's."""


def effective(controls: Controls, *, now: float, tenant: str = "", detector: str = "") -> Effective:
    """Return the switches in force for a tenant and detector at ``now``."""
    closed, rules_only, rerank_off, impl = False, False, False, None
    for kill in controls.kills(now):
        if (kill.tenant and kill.tenant != tenant) or (kill.detector and kill.detector != detector):
            continue
        match kill.switch:
            case Switch.PIPELINE:
                closed = True
            case Switch.MAPPER_MODE:
                rules_only = True
            case Switch.RERANKER:
                rerank_off = True
            case Switch.RETRIEVER_IMPL:
                impl = kill.value
            case Switch.RELEASE:
                pass  # decides the routing, not the request
    mode = MappingMode.RULES_ONLY if rules_only else MappingMode.HYBRID
    return Effective(not closed, mode, not rerank_off, impl)


def chosen(
    controls: Controls, name: str, release: Release, *, now: float, tenant: str = ""
) -> float | int | None:
    """Return a tunable's value: tenant override, else desired, else the release's, else None.

    For ``<name>.<detector>`` the plain ``<name>`` stands in when nobody set the detector's own.

    Raises:
        UnknownSetting: no such setting.
    """
    tunable = tunable_of(name)
    for asked in dict.fromkeys((name, tunable.name)):
        for source in (controls.state.tenant_settings.get(tenant, {}), controls.state.settings):
            found = source.get(asked)
            if found is not None and _alive(found, now):
                return _number(found.value)
        released = release.settings.get(asked)
        if released is not None:
            return checked(asked, released) if isinstance(released, str) else _number(released)
    return None


def query_model(
    controls: Controls, release: Release, *, now: float, tenant: str = ""
) -> str | None:
    """Return the query model in force: the switch's, else the release's, else None."""
    thrown = effective(controls, now=now, tenant=tenant).retriever_impl
    released = release.settings.get(QUERY_MODEL)
    return thrown or (None if released is None else str(released))


def setting(
    controls: Controls, name: str, release: Release, *, now: float, tenant: str = ""
) -> float | int:
    """Return :func:`chosen`, or the tunable's default when nobody chose."""
    found = chosen(controls, name, release, now=now, tenant=tenant)
    return tunable_of(name).default if found is None else found


def effective_hash(controls: Controls, *, now: float, leased: bool) -> str:
    """Return 16 hex digits of what is in force at ``now``; equal hashes obey the same.

    Revisions are left out: a write that changes nothing in force changes no hash.
    """
    route = routing(controls, now=now, leased=leased)
    state = controls.state
    alive = {
        tenant: {name: entry.value for name, entry in settings.items() if _alive(entry, now)}
        for tenant, settings in {"": state.settings, **state.tenant_settings}.items()
    }
    kills = sorted(
        (kill.switch, kill.value, kill.tenant, kill.detector) for kill in controls.kills(now)
    )
    content = (
        route.stable.hash,
        route.canary.hash if route.canary else "",
        route.weight_bp,
        route.salt,
        {tenant: settings for tenant, settings in alive.items() if settings},
        kills,
    )
    canonical = msgspec.json.encode(content, order="deterministic")
    return hashlib.sha256(canonical).hexdigest()[:16]


def _alive(entry: Setting, now: float) -> bool:
    return entry.expires_at is None or entry.expires_at > now


def _number(value: Value) -> float | int:
    if isinstance(value, str):
        raise TypeError("a tunable is a number")
    return value
