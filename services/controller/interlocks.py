"""What must be true before a change of the state is written: each interlock looks at facts and says why. Pure.

``--force`` overrides a refusal, needs a reason, and is audited.
"""

from collections.abc import Sequence

from trimtab.contracts.component import Release
from trimtab.contracts.control import (
    ControlState,
    Finding,
    Order,
    PromoteCommand,
    ResumeCommand,
    RollBackCommand,
    SetWeightCommand,
    StartCanaryCommand,
)
from trimtab.contracts.samples import WorkerStatus
from trimtab.control.effective import Controls

_STAGES = {"encode": "encoder", "retrieve": "retriever", "rerank": "reranker", "map": "mapper"}
"""Stage of a release -> service that serves it."""


class Interlocks:
    """Findings on one order, from the fleet's own words."""

    def __init__(self, workers: Sequence[WorkerStatus]) -> None:
        self._workers = [worker for worker in workers if not worker.silent]

    def __call__(self, before: Controls, after: ControlState, order: Order) -> list[Finding]:
        """Return what each interlock that applies to the command says."""
        match order.command:
            case StartCanaryCommand() | SetWeightCommand() | ResumeCommand() | PromoteCommand():
                canary = after.canary
                if canary is None:
                    return []
                release = after.releases[canary.release]
                return [*self._loaded(release), self._same_space(before, release), _target(before)]
            case RollBackCommand() if after.stable != before.state.stable:
                return self._loaded(after.releases[after.stable])
            case _:
                return []

    def _loaded(self, release: Release) -> list[Finding]:
        """At least one live worker per stage has loaded and verified the release's component."""
        return [self._stage_loaded(stage, getattr(release, stage)) for stage in _STAGES]

    def _stage_loaded(self, stage: str, component: str | None) -> Finding:
        name = f"loaded:{stage}"
        if component is None:
            return Finding(interlock=name, ok=True, detail="the release has none")
        holders = [
            worker.instance
            for worker in self._workers
            if worker.service == _STAGES[stage] and component in worker.components
        ]
        if holders:
            return Finding(interlock=name, ok=True, detail=f"{component} on {', '.join(holders)}")
        return Finding(
            interlock=name,
            ok=False,
            detail=f"no live {_STAGES[stage]} has loaded {component}; `trimtab status` shows why",
        )

    def _same_space(self, before: Controls, release: Release) -> Finding:
        """The release's vectors are of the space and dimension that the collections were built in."""
        stable = before.release
        same = release.namespace == stable.namespace
        detail = f"{release.namespace} beside {stable.namespace}"
        if same:
            return Finding(interlock="namespace", ok=True, detail=detail)
        return Finding(
            interlock="namespace",
            ok=False,
            detail=f"{detail}: the indexes hold vectors of the other space; rebuild them first",
        )


def _target(before: Controls) -> Finding:
    """There is something to return to if the canary turns out bad."""
    stable = before.state.stable
    ok = stable in before.state.releases
    return Finding(interlock="rollback_target", ok=ok, detail=f"returns to {stable}")
