"""What a request obeys now: the ``in_force`` of ``/health``. Pure.

A release names components and settings; switches, settings and a rollout decide which of them a request meets. Only
what holds for everybody is told: the page asks for no key, so it names no tenant.
"""

from collections.abc import Sequence
from typing import Literal

from services.gateway.http.bodies import Body
from trimtab.contracts.component import Release
from trimtab.contracts.control import ACTIVE_PHASES
from trimtab.contracts.mapping import MappingMode
from trimtab.contracts.retrieve import LAST_VEC
from trimtab.contracts.samples import NPROBE, Sample
from trimtab.control.effective import (
    Controls,
    Routing,
    chosen,
    effective,
    query_model,
    routing,
)


class Served(Body, frozen=True, kw_only=True):
    """What the requests of one release meet."""

    release: str
    """By name."""
    components: dict[str, str]
    """Component that is asked, by stage; a stage that nobody is asked for is not named."""
    reranker: Literal["on", "off"]
    """off: by switch, or because the release has none."""
    retriever_impl: str
    """Query model; ``last_vec`` is the query's own vector."""
    nprobe: int | None
    """Set by an operator, else the release's, else the retrieval component's; None: no retriever tells it."""


class CanaryServed(Served, frozen=True, kw_only=True):
    """A rollout that has not ended."""

    policy: str
    """By name; empty: weights are set by hand."""
    phase: str
    """running, paused or holding."""
    weight_bp: int
    """Basis points of the requests that it gets; 0 too while it is banned, or no controller leads."""
    step: int
    """Of the policy, counted from 1; 0 without one."""


class SwitchThrown(Body, frozen=True, kw_only=True):
    """One switch that is thrown."""

    switch: str
    """mapper.mode, reranker, retriever.impl, pipeline or release."""
    value: str
    """Set to what."""
    everybody: bool
    """False: one tenant's or detector's requests only; ``trimtab status`` says whose."""
    expires_at: float | None
    """Unix seconds; None: until it is restored."""


class InForce(Body, frozen=True, kw_only=True):
    """What this gateway asks for when no order of a tenant's or detector's own holds."""

    pipeline: Literal["open", "closed"]
    """closed: every request is refused."""
    mapper_mode: MappingMode
    """Whether the mapping model may decide."""
    stable: Served
    """Of the stable release, or of its predecessor while that is banned."""
    canary: CanaryServed | None
    """None without a rollout."""
    switches: list[SwitchThrown]
    """All that are thrown."""


def in_force(controls: Controls, samples: Sequence[Sample], *, now: float, leased: bool) -> InForce:
    """Return what is in force at ``now``, unix seconds.

    ``leased`` is whether a controller's heartbeat renewed the canary's lease; ``samples`` tell the components' own
    settings.
    """
    found = effective(controls, now=now)
    route = routing(controls, now=now, leased=leased)
    return InForce(
        pipeline="open" if found.open else "closed",
        mapper_mode=found.mapper_mode,
        stable=_served(controls, route.stable, samples, now),
        canary=_canary(controls, route, samples, now),
        switches=[
            SwitchThrown(
                switch=kill.switch.value,
                value=kill.value,
                everybody=not (kill.tenant or kill.detector),
                expires_at=kill.expires_at,
            )
            for kill in controls.kills(now)
        ],
    )


def components_of(release: Release) -> dict[str, str]:
    """Return the component of each stage that a release names."""
    return {str(stage): component for stage, component in release.components.items()}


def _served(controls: Controls, release: Release, samples: Sequence[Sample], now: float) -> Served:
    components = components_of(release)
    if not effective(controls, now=now).reranker_on:
        components.pop("rerank", None)
    nprobe = chosen(controls, "retriever.nprobe", release, now=now)
    return Served(
        release=release.name,
        components=components,
        reranker="on" if "rerank" in components else "off",
        retriever_impl=query_model(controls, release, now=now) or LAST_VEC,
        nprobe=_own_nprobe(release.retrieve, samples) if nprobe is None else int(nprobe),
    )


def _own_nprobe(component: str, samples: Sequence[Sample]) -> int | None:
    told = (sample.facts.get(NPROBE + component) for sample in samples)
    return next((int(nprobe) for nprobe in told if nprobe is not None), None)


def _canary(
    controls: Controls, route: Routing, samples: Sequence[Sample], now: float
) -> CanaryServed | None:
    canary = controls.state.canary
    if canary is None or canary.phase not in ACTIVE_PHASES:
        return None
    served = _served(controls, controls.state.releases[canary.release], samples, now)
    return CanaryServed(
        **{name: getattr(served, name) for name in Served.__struct_fields__},
        policy=canary.policy,
        phase=canary.phase.value,
        weight_bp=route.weight_bp,
        step=canary.step + 1 if canary.policy else 0,
    )
