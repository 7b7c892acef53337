"""Documents for the control tests: one release after another, plain and small."""

from trimtab.contracts.component import Release
from trimtab.contracts.control import Canary, ControlState, Kill, KillLane, Phase, Switch
from trimtab.control.effective import Controls


def release(
    name: str, rerank: str | None = "mlp-full@1", settings: dict[str, float] | None = None
) -> Release:
    return Release(
        name=name,
        encode="minilm-int8@1",
        retrieve="hybrid@1",
        rerank=rerank,
        map="safety-head@1",
        namespace="single_vector.minilm.384.v1",
        settings=dict(settings or {}),
    )


def state(stable: str = "base", *others: str, canary: Canary | None = None) -> ControlState:
    names = (stable, *others)
    return ControlState(
        operation=f"op-{stable}",
        stable=stable,
        releases={name: release(name, rerank=f"mlp-{name}@1") for name in names},
        canary=canary,
        actor="test",
        reason="test",
    )


def canary(release_name: str, weight_bp: int, phase: Phase = Phase.RUNNING) -> Canary:
    return Canary(
        release=release_name,
        policy="",
        weight_bp=weight_bp,
        phase=phase,
        step=0,
        step_since=0.0,
        salt="salt",
    )


def kill(
    switch: Switch, value: str, *, tenant: str = "", detector: str = "", until: float | None = None
) -> Kill:
    return Kill(
        switch=switch,
        value=value,
        tenant=tenant,
        detector=detector,
        actor="test",
        reason="test",
        at=0.0,
        expires_at=until,
    )


def controls(
    desired: ControlState, *kills: Kill, revision: int = 1, lane_revision: int = 0
) -> Controls:
    return Controls(desired, revision, KillLane(operation="op", kills=list(kills)), lane_revision)
