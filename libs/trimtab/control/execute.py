"""Carrying out an order: read, check, change, write by compare-and-set, tell everybody.

Used by the controller, and by the CLI itself when no controller answers (``--direct``): the same
code, so a kill means the same whoever writes it.
"""

from collections.abc import Callable
from typing import Literal

import msgspec

from trimtab.contracts.control import ControlState, KillLane
from trimtab.contracts.errors import InterlockRefused, InvalidCommand, RevisionConflict
from trimtab.contracts.orders import Finding, KillCommand, Order, Outcome, RestoreCommand
from trimtab.control.commands import (
    By,
    change_lane,
    change_state,
    document_difference,
    lane_difference,
)
from trimtab.control.effective import Controls
from trimtab.control.store import ControlStore

ATTEMPTS = 5
"""How often a write that lost the race is tried again on what the winner wrote."""

Interlocks = Callable[[Controls, ControlState, Order], list[Finding]]
"""``(before, after, order) -> findings``: what the interlocks say of a change of the state."""


def no_interlocks(_before: Controls, _after: ControlState, _order: Order) -> list[Finding]:
    """For writers that have no view of the fleet: kill, restore and rollback need none."""
    return []


async def execute(
    store: ControlStore,
    order: Order,
    *,
    now: float,
    epoch: int = 0,
    interlocks: Interlocks = no_interlocks,
) -> tuple[Outcome, Controls]:
    """Carry out an order and return what became of it, with the documents in force.

    Raises:
        OperatorError: it does not fit the present state, or an interlock refused; nothing changed.
        RevisionConflict: ``expect_revision`` no longer holds, or others kept winning the race.
        BusUnavailable: JetStream does not answer.
    """
    if order.force and not order.reason:
        raise InvalidCommand("--force needs a --reason")
    for attempt in range(ATTEMPTS):
        controls = await store.read()
        _check_revision(order, controls)
        try:
            return await _once(
                store, order, controls, By(order.actor, order.reason, now), epoch, interlocks
            )
        except RevisionConflict:
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


async def _once(
    store: ControlStore,
    order: Order,
    before: Controls,
    by: By,
    epoch: int,
    interlocks: Interlocks,
) -> tuple[Outcome, Controls]:
    if _repeated(order, before):
        return _outcome(before, "unchanged", [], []), before
    if isinstance(order.command, KillCommand | RestoreCommand):
        return await _write_lane(store, order, before, by, interlocks)
    state = change_state(before.state, order.command, by)
    diff = document_difference(before.state, state)
    if not diff:
        return _outcome(before, "unchanged", [], []), before
    findings = interlocks(before, state, order)
    if order.dry_run:
        return _outcome(before, "dry_run", diff, findings), before
    _obey(findings, order)
    stamped = msgspec.structs.replace(
        state,
        operation=order.operation,
        epoch=epoch,
        actor=by.actor,
        reason=by.reason,
        at=by.now,
    )
    revision = await store.write_state(stamped, before.state_revision)
    after = Controls(stamped, revision, before.lane, before.lane_revision)
    await store.hint(after)
    return _outcome(after, "written", diff, findings), after


async def _write_lane(
    store: ControlStore, order: Order, before: Controls, by: By, interlocks: Interlocks
) -> tuple[Outcome, Controls]:
    assert isinstance(order.command, KillCommand | RestoreCommand)  # noqa: S101 - for the checker
    lane: KillLane = change_lane(before.lane, order.command, by)
    diff = lane_difference(before.lane, lane)
    if not diff:
        return _outcome(before, "unchanged", [], []), before
    findings = interlocks(before, before.state, order)
    if order.dry_run:
        return _outcome(before, "dry_run", diff, findings), before
    _obey(findings, order)
    stamped = msgspec.structs.replace(lane, operation=order.operation, at=by.now)
    revision = await store.write_lane(stamped, before.lane_revision)
    after = Controls(before.state, before.state_revision, stamped, revision)
    await store.hint(after)
    return _outcome(after, "written", diff, findings), after


def _obey(findings: list[Finding], order: Order) -> None:
    refusal = next((finding for finding in findings if not finding.ok), None)
    if refusal is not None and not order.force:
        raise InterlockRefused(refusal.interlock, refusal.detail)


def _repeated(order: Order, controls: Controls) -> bool:
    """Whether this very order is in force already: its answer was lost, or another copy was quicker."""
    return order.operation in (controls.state.operation, controls.lane.operation)


def _check_revision(order: Order, controls: Controls) -> None:
    if _repeated(order, controls):
        return  # its own write made the newer revision
    if order.expect_revision is not None and order.expect_revision != controls.revision:
        raise RevisionConflict(order.expect_revision, controls.revision)


def _outcome(
    controls: Controls,
    status: Literal["written", "unchanged", "dry_run"],
    diff: list[str],
    findings: list[Finding],
) -> Outcome:
    return Outcome(
        revision=controls.revision,
        changed=status == "written",
        diff=diff,
        findings=findings,
        status=status,
    )
