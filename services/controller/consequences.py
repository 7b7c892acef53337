"""What each live worker would do about an order: the third part of a dry run, after diff and interlocks. Pure."""

from collections.abc import Iterator, Sequence

from trimtab.contracts.component import STAGES
from trimtab.contracts.mapping import MappingMode
from trimtab.contracts.orders import KillCommand, Order, RestoreCommand, SetCommand
from trimtab.contracts.samples import WorkerStatus
from trimtab.control.commands import By, change_lane, change_state
from trimtab.control.effective import (
    Controls,
    Effective,
    Routing,
    banned_releases,
    effective,
    routing,
    wanted,
)
from trimtab.control.tunables import scoped

_STAGE_OF = {service: stage for stage, service in STAGES.items()}
_GATEWAY, _CONTROLLER, _MAPPER = "gateway", "controller", "mapper"


def consequences(
    before: Controls, order: Order, workers: Sequence[WorkerStatus], now: float
) -> list[str]:
    """Return a line per live worker that would load or do something else: ``instance: what, what``.

    Raises:
        OperatorError: the order does not fit the present state.
    """
    after = _after(before, order, now)
    lines = []
    for worker in workers:
        if worker.silent or worker.service == _CONTROLLER:
            continue
        would = [*_loads(worker, before, after), *_does(worker.service, before, after, order, now)]
        if would:
            lines.append(f"{worker.instance}: {', '.join(would)}")
    return lines


def _after(before: Controls, order: Order, now: float) -> Controls:
    by, command = By(order.actor, order.reason, now), order.command
    if isinstance(command, KillCommand | RestoreCommand):
        lane = change_lane(before.lane, command, by)
        return Controls(before.state, before.state_revision, lane, before.lane_revision)
    state = change_state(before.state, command, by)
    return Controls(state, before.state_revision, before.lane, before.lane_revision)


def _loads(worker: WorkerStatus, before: Controls, after: Controls) -> Iterator[str]:
    stage = _STAGE_OF.get(worker.service)
    if stage is None:
        return
    will, did = wanted(after, stage), wanted(before, stage)
    yield from (f"loads {component}" for component in will if component not in worker.components)
    for component in did:
        if component in worker.components and component not in will:
            yield f"unloads {component}, unless its settings name it"


def _does(
    service: str, before: Controls, after: Controls, order: Order, now: float
) -> Iterator[str]:
    scope = {
        "tenant": getattr(order.command, "tenant", ""),
        "detector": getattr(order.command, "detector", ""),
    }
    old, new = (effective(each, now=now, **scope) for each in (before, after))
    if old.open != new.open:
        yield "takes requests again" if new.open else "refuses requests"
    banned, were = banned_releases(after, now), banned_releases(before, now)
    yield from (f"refuses release {name}" for name in sorted(banned - were))
    yield from (f"serves release {name} again" for name in sorted(were - banned))
    if service in (_GATEWAY, _MAPPER) and old.mapper_mode != new.mapper_mode:
        rules = new.mapper_mode is MappingMode.RULES_ONLY
        yield "maps by rules only" if rules else "maps by its model again"
    if service == _GATEWAY:
        yield from _routes(old, new)
        was, will = (routing(each, now=now, leased=True) for each in (before, after))
        if _shares(was) != _shares(will):
            yield f"sends {_shares(will)}"
    if isinstance(order.command, SetCommand):
        name = scoped(order.command.name, order.command.detector)
        if service == _reader(name):
            yield f"obeys {name} = {order.command.value}"


def _routes(old: Effective, new: Effective) -> Iterator[str]:
    if old.reranker_on != new.reranker_on:
        yield "asks the reranker again" if new.reranker_on else "asks no reranker"
    if old.retriever_impl != new.retriever_impl:
        yield f"searches with {new.retriever_impl or 'the query model of the release'}"


def _shares(route: Routing) -> str:
    if route.canary is None:
        return f"everything to {route.stable.name}"
    return f"{route.weight_bp / 100:g} % to {route.canary.name}, the rest to {route.stable.name}"


def _reader(setting: str) -> str:
    """Return the service that reads a setting: the gateway reads it for a stage where a request carries it."""
    return "encoder" if setting.startswith("encoder.") else _GATEWAY
