"""What all steering commands share: who, why and how; sending the order; showing what became of it.

An order goes to the controller. When none answers, kill, restore and rollback are written by this
process itself with the same code and recorded in the same audit (``--direct`` does so at once).
"""

import asyncio
import getpass
import socket
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from trimtab.audit.ledger import Act, Ledger
from trimtab.cli.address import nats_url
from trimtab.cli.exitcode import ExitCode
from trimtab.cli.failure import Failure
from trimtab.cli.link import reach
from trimtab.cli.output import print_json, stderr, stdout
from trimtab.client import DEFAULT_TIMEOUT_S, Client
from trimtab.contracts.control import Convergence
from trimtab.contracts.errors import BusUnavailable, DeadlineExceeded, NoWorkers
from trimtab.contracts.orders import (
    Command,
    KillCommand,
    Order,
    Outcome,
    RestoreCommand,
    RollBackCommand,
)
from trimtab.control.execute import execute
from trimtab.control.store import ControlStore

DIRECT = (KillCommand, RestoreCommand, RollBackCommand)
"""Commands that need nobody."""

_PATIENCE_S = 2.0
"""How long a controller may take over a command that does not need it: one that is frozen never answers."""

_LOOK_S = 0.02
"""How often the controller is asked how far the fleet is: it answers in less than a millisecond."""

_SETTLED = frozenset({"converged", "rejected"})

Reason = Annotated[str, typer.Option("--reason", help="Why; stands in the audit.", metavar="TEXT")]
Actor = Annotated[
    str, typer.Option("--actor", help="Who; default: you on this machine.", metavar="NAME")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would change and what the interlocks think.")
]
Expect = Annotated[
    int | None,
    typer.Option("--expect-revision", help="Refuse unless this is the newest.", metavar="N"),
]
Force = Annotated[
    bool, typer.Option("--force", help="Override the interlocks; needs --reason, is audited.")
]
Direct = Annotated[
    bool, typer.Option("--direct", help="Write it from here, without asking a controller.")
]
Wait = Annotated[
    float,
    typer.Option("--wait", help="Seconds to wait for every worker to obey; 0: do not.", min=0.0),
]


@dataclass(frozen=True)
class Manner:
    """How a command is to be carried out."""

    nats: str | None
    nkey_seed: Path | None
    reason: str = ""
    actor: str = ""
    dry_run: bool = False
    expect_revision: int | None = None
    force: bool = False
    direct: bool = False
    wait_s: float = 10.0
    as_json: bool = False


def who(actor: str) -> str:
    """Return the name that stands in the audit: the one given, or user and machine."""
    return actor or f"{getpass.getuser()}@{socket.gethostname()}"


def steer(command: Command, manner: Manner) -> None:
    """Carry a command out, show what became of it, and end 1 when a worker does not obey."""
    outcome, reached, via = asyncio.run(_steer(command, manner))
    if manner.as_json:
        print_json(_shape(outcome, reached, via))
    else:
        _show(outcome, reached, via)
    if reached is not None and reached.status != "converged":
        raise typer.Exit(ExitCode.FAILED)


async def _steer(command: Command, manner: Manner) -> tuple[Outcome, Convergence | None, str]:
    order = Order(
        operation=uuid.uuid4().hex,
        command=command,
        actor=who(manner.actor),
        reason=manner.reason,
        dry_run=manner.dry_run,
        expect_revision=manner.expect_revision,
        force=manner.force,
    )
    async with reach(nats_url(manner.nats), manner.nkey_seed) as client:
        outcome, via = await _carry_out(client, order, direct=manner.direct)
        if not outcome.changed or not manner.wait_s:
            return outcome, None, via
        if via == "direct":
            return outcome, await _reached_without_controller(client, outcome, manner.wait_s), via
        return outcome, await reached(client, outcome.revision, manner.wait_s), via


async def _carry_out(client: Client, order: Order, *, direct: bool) -> tuple[Outcome, str]:
    alone = isinstance(order.command, DIRECT)
    if direct and not alone:
        raise Failure(
            "only kill, restore and rollback can be written without a controller",
            "leave --direct out, and start a controller if none runs",
        )
    if not direct:
        try:
            patience_s = _PATIENCE_S if alone else DEFAULT_TIMEOUT_S
            return await client.order(order, timeout_s=patience_s), "controller"
        except (NoWorkers, DeadlineExceeded):
            if not alone:
                raise
            # A frozen one may have written it already: the same operation id then changes nothing.
            stderr().print("no controller answers: writing it from here", style="yellow")
    return await _directly(client, order), "direct"


async def _directly(client: Client, order: Order) -> Outcome:
    store = await ControlStore.open(client.connection)
    outcome, _ = await execute(store, order, now=time.time())
    act = Act(
        actor=order.actor,
        action=str(msgspec.to_builtins(order.command)["type"]),
        outcome=outcome.status,
        reason=order.reason,
        revision=outcome.revision,
        operation=order.operation,
        diff=tuple(outcome.diff),
    )
    try:
        await (await Ledger.open(client.connection, "direct")).append(act)
    except BusUnavailable:
        stderr().print("carried out, but the audit did not take its entry", style="red")
    return outcome


async def reached(client: Client, revision: int, wait_s: float) -> Convergence:
    """Wait until every worker obeys ``revision``, one refuses it, or the time is over."""
    give_up_at = time.monotonic() + wait_s
    while True:
        status = await client.status()
        found = status.convergence
        if found is None:
            raise Failure("the controller knows no revision yet", "try again in a second")
        settled = found.revision >= revision and found.status in _SETTLED
        if settled or time.monotonic() > give_up_at:
            return found
        await asyncio.sleep(_LOOK_S)


async def _reached_without_controller(
    client: Client, outcome: Outcome, wait_s: float
) -> Convergence:
    """Ask the workers themselves, since nobody collects their acknowledgements."""
    give_up_at = time.monotonic() + wait_s
    while True:
        samples = await client.health()
        behind = [s for s in samples if s.revision < outcome.revision]
        late = time.monotonic() > give_up_at
        if (samples and not behind) or late:
            return Convergence(
                revision=outcome.revision,
                status="lagging" if behind else "converged",
                applied=len(samples) - len(behind),
                total=len(samples),
                lagging=[f"{s.instance}: obeys revision {s.revision}" for s in behind],
            )


def _shape(outcome: Outcome, reached: Convergence | None, via: str) -> dict[str, Any]:
    return {
        "status": outcome.status,
        "revision": outcome.revision,
        "diff": outcome.diff,
        "interlocks": outcome.findings,
        "workers": outcome.workers,
        "convergence": reached,
        "via": via,
    }


def _show(outcome: Outcome, reached: Convergence | None, via: str) -> None:
    console = stdout()
    for line in outcome.diff:
        console.print(line, markup=False, soft_wrap=True)
    for finding in outcome.findings:
        mark, style = ("ok", "green") if finding.ok else ("REFUSES", "red")
        console.print(f"interlock {finding.interlock}: {mark}: {finding.detail}", style=style)
    for line in outcome.workers:
        console.print(f"would change {line}", markup=False, soft_wrap=True)
    words = {"written": "written", "unchanged": "already so", "dry_run": "dry run, nothing written"}
    console.print(f"{words[outcome.status]}, revision {outcome.revision} (via {via})")
    if reached is not None:
        show_convergence(reached)


def show_convergence(reached: Convergence) -> None:
    """Print who obeys and who does not."""
    style = "green" if reached.status == "converged" else "red"
    console = stdout()
    line = f"{reached.status}: {reached.applied} of {reached.total} workers obey"
    console.print(f"{line} revision {reached.revision}", style=style)
    for line in reached.lagging:
        console.print(f"  {line}", markup=False, soft_wrap=True)
