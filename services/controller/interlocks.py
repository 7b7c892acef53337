"""What must be true before a change of the state is written: each interlock looks at facts and says why. Pure.

``--force`` overrides a refusal, needs a reason, and is audited. What no force can override is refused by
the command itself: a setting out of its bounds, a second canary, a rollback to nothing.
"""

from collections.abc import Iterator, Mapping, Sequence

from services.controller.policy import Policy
from services.controller.querymodels import loaded_models, query_model_loaded
from trimtab.contracts.component import STAGES, Release, Stage
from trimtab.contracts.control import Canary, ControlState, Switch
from trimtab.contracts.gates import Gate
from trimtab.contracts.orders import (
    Finding,
    KillCommand,
    Order,
    PromoteCommand,
    ResumeCommand,
    RollBackCommand,
    SetWeightCommand,
    StartCanaryCommand,
)
from trimtab.contracts.samples import WorkerStatus
from trimtab.control.effective import Controls, banned_releases
from trimtab.control.gates import Limit, changes_mapper, refusal, shortfall
from trimtab.control.tunables import QUERY_MODEL

MAX_AGE_S = 30 * 86_400.0
"""Age at which a report no longer counts where no policy says another."""


class Interlocks:
    """Findings on one order, from the fleet's own words and what was measured of the release."""

    def __init__(
        self,
        workers: Sequence[WorkerStatus],
        policies: Mapping[str, Policy],
        now: float,
        quality: Sequence[Limit] = (),
    ) -> None:
        self._workers = [worker for worker in workers if not worker.silent]
        self._policies = policies
        self._quality = quality
        self._now = now

    def __call__(self, before: Controls, after: ControlState, order: Order) -> list[Finding]:
        """Return what each interlock that applies to the command says."""
        match order.command:
            case StartCanaryCommand() | SetWeightCommand() | ResumeCommand() | PromoteCommand():
                return [] if after.canary is None else self._canary(before, after, after.canary)
            case KillCommand(switch=Switch.RETRIEVER_IMPL, value=name):
                return [query_model_loaded(self._workers, name)]
            case RollBackCommand() if after.stable != before.state.stable:
                target = after.releases[after.stable]
                return [*self._loaded(target), self._not_banned(before, target)]
            case _:
                return []

    def _canary(self, before: Controls, after: ControlState, canary: Canary) -> list[Finding]:
        release = after.releases[canary.release]
        return [
            self._policy_known(canary),
            *self._loaded(release),
            self._not_banned(before, release),
            self._same_space(before, release),
            *self._query_model(release),
            *self._gates(before.release, after, release, _policy_of(before, canary)),
            self._target(before),
        ]

    def _policy_known(self, canary: Canary) -> Finding:
        """The controller has the policy that is to move the weight, or a person moves it."""
        ok = not canary.policy or canary.policy in self._policies
        known = ", ".join(sorted(self._policies)) or "none"
        detail = (
            f"{canary.policy or 'by hand'}" if ok else f"{canary.policy} is not one of: {known}"
        )
        return Finding(interlock="policy", ok=ok, detail=detail)

    def _loaded(self, release: Release) -> list[Finding]:
        """At least one live worker per stage has loaded and verified the release's component."""
        return [self._stage_loaded(stage, getattr(release, stage)) for stage in STAGES]

    def _stage_loaded(self, stage: Stage, component: str | None) -> Finding:
        name = f"loaded:{stage}"
        if component is None:
            return Finding(interlock=name, ok=True, detail="the release has none")
        holders = [worker.instance for worker in self._holders(stage, component)]
        if holders:
            return Finding(interlock=name, ok=True, detail=f"{component} on {', '.join(holders)}")
        return Finding(
            interlock=name,
            ok=False,
            detail=f"no live {STAGES[stage]} has loaded {component}; `trimtab status` shows why",
        )

    def _holders(self, stage: Stage, component: str) -> Iterator[WorkerStatus]:
        for worker in self._workers:
            serves = component in worker.components and component not in loaded_models(worker)
            if worker.service == STAGES[stage] and serves:
                yield worker

    def _not_banned(self, before: Controls, release: Release) -> Finding:
        """Nobody threw the switch that keeps the release from serving."""
        ok = release.name not in banned_releases(before, self._now)
        why = f"`trimtab restore release={release.name}` first"
        detail = f"{release.name} is not" if ok else f"{release.name} is banned; {why}"
        return Finding(interlock="banned", ok=ok, detail=detail)

    def _same_space(self, before: Controls, release: Release) -> Finding:
        """The release's vectors are of the space and dimension that the collections were built in."""
        stable = before.release
        wrong = [
            *self._foreign_encoders(release),
            *self._foreign_collections(release, stable),
            *self._foreign_dimensions(release),
        ]
        if release.namespace != stable.namespace:
            wrong.append(f"{release.namespace} beside the stable {stable.namespace}")
        if not wrong:
            return Finding(interlock="namespace", ok=True, detail=release.namespace)
        detail = f"{'; '.join(wrong)}: vectors of two spaces cannot be compared, rebuild the index"
        return Finding(interlock="namespace", ok=False, detail=detail)

    def _query_model(self, release: Release) -> Iterator[Finding]:
        """A live retriever has loaded the query model that the release searches with."""
        if QUERY_MODEL in release.settings:
            yield query_model_loaded(self._workers, str(release.settings[QUERY_MODEL]))

    def _foreign_encoders(self, release: Release) -> Iterator[str]:
        for worker in self._holders("encode", release.encode):
            made = worker.facts.get(f"namespace.{release.encode}", release.namespace)
            if made != release.namespace:
                yield f"{release.encode} makes {made}, the release says {release.namespace}"

    def _foreign_collections(self, release: Release, stable: Release) -> Iterator[str]:
        """What could be searched and no longer can; a collection that neither release can search is nobody's fault."""
        held = {
            (name, worker.instance): str(space)
            for worker in self._holders("retrieve", release.retrieve)
            for name, space in _facts(worker, "namespace")
        }
        none = release.namespace not in held.values()
        for (name, instance), space in held.items():
            if space != release.namespace and (none or space == stable.namespace):
                yield f"collection {name} on {instance} holds {space}"

    def _foreign_dimensions(self, release: Release) -> Iterator[str]:
        """Collections of the release's space whose vectors are not as long as its encoder's."""
        key = f"dimension.{release.encode}"
        encoders = self._holders("encode", release.encode)
        made = {worker.facts[key] for worker in encoders if key in worker.facts}
        for worker in self._holders("retrieve", release.retrieve):
            spaces = dict(_facts(worker, "namespace"))
            for name, size in _facts(worker, "dimension"):
                if made and size not in made and spaces.get(name) == release.namespace:
                    told = "/".join(sorted(map(str, made)))
                    yield f"collection {name} holds {size} numbers a vector, the encoder makes {told}"

    def _gates(
        self, stable: Release, after: ControlState, release: Release, policy: str
    ) -> Iterator[Finding]:
        """What is demanded was measured of exactly this release and passed; nothing measured failed.

        The policy demands by name; a release that changes the mapper owes its quality under any policy and none.
        """
        demands = self._policies.get(policy)
        demanded = set(demands.gates if demands else [])
        if changes_mapper(release, stable):
            demanded.add(Gate.QUALITY)
        max_age_s = demands.gates_max_age_s if demands else MAX_AGE_S
        reports = after.gates.get(release.name, {})
        for gate in Gate:
            report = reports.get(gate.value)
            further = self._quality if gate is Gate.QUALITY else ()
            if gate in demanded:
                why = refusal(
                    report, gate, release, now=self._now, max_age_s=max_age_s, further=further
                )
            elif report is not None:
                why = shortfall(report, further)
            else:
                continue
            detail = why or f"passed on {report.cases if report else 0} cases"
            yield Finding(interlock=f"gate:{gate}", ok=not why, detail=detail)

    def _target(self, before: Controls) -> Finding:
        """There is something warm to return to if the canary turns out bad."""
        stable = before.release
        cold = [
            component
            for stage, component in stable.components.items()
            if not any(self._holders(stage, component))
        ]
        if not cold:
            return Finding(interlock="rollback_target", ok=True, detail=f"returns to {stable.name}")
        detail = f"no live worker holds {', '.join(cold)} of {stable.name}: nothing to return to"
        return Finding(interlock="rollback_target", ok=False, detail=detail)


def _facts(worker: WorkerStatus, kind: str) -> Iterator[tuple[str, float | int | str]]:
    """Yield what a retriever says of each of its collections: ``<kind>.<collection>``."""
    for key, value in worker.facts.items():
        found, _, name = key.partition(".")
        if found == kind:
            yield name, value


def _policy_of(before: Controls, canary: Canary) -> str:
    """Return the policy whose gates hold: taking the weight into one's own hand does not shed them."""
    known = before.state.canary
    same = known is not None and known.salt == canary.salt
    return canary.policy or (known.policy if known is not None and same else "")
