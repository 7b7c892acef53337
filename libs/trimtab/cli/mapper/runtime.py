"""`trimtab mapper runtime …`: the mapper runbook's own verbs, as it writes them, acting on running workers."""

import asyncio
from typing import Annotated, Any

import typer

from trimtab.cli import options, steering
from trimtab.cli.address import nats_url
from trimtab.cli.exitcode import ExitCode
from trimtab.cli.failure import Failure, guarded
from trimtab.cli.link import reach
from trimtab.cli.output import print_json, stdout
from trimtab.cli.steering import Manner, steer
from trimtab.contracts.control import Switch
from trimtab.contracts.mapping import MappingMode
from trimtab.contracts.orders import KillCommand, RestoreCommand
from trimtab.contracts.samples import Sample
from trimtab.control.effective import Controls
from trimtab.control.store import ControlStore

runtime = typer.Typer(help="Mode of the running mappers.")


@runtime.command("show-mode")
@guarded
def show_mode(
    nats: options.Nats = None, nkey_seed: options.Seed = None, as_json: options.Json = False
) -> None:
    """Show the mode wanted and what each live mapper obeys; ends 1 when one is behind."""
    controls, mappers = asyncio.run(_look(nats, nkey_seed))
    kills = [k for k in controls.lane.kills if k.switch is Switch.MAPPER_MODE]
    mode = MappingMode.RULES_ONLY if any(not k.tenant and not k.detector for k in kills) else None
    behind = [m.instance for m in mappers if m.revision < controls.revision]
    shape = {
        "mode": mode or MappingMode.HYBRID,
        "revision": controls.revision,
        "kills": kills,
        "workers": {m.instance: m.revision for m in mappers},
        "behind": behind,
    }
    if as_json:
        print_json(shape)
    else:
        stdout().print(f"Runtime mode: {shape['mode']} (revision {controls.revision})")
        for kill in kills:
            scope = " ".join(part for part in (kill.tenant, kill.detector) if part) or "everybody"
            stdout().print(f"rules_only for {scope}: {kill.actor}: {kill.reason}", markup=False)
        for worker in mappers:
            stdout().print(f"{worker.instance} obeys revision {worker.revision}", markup=False)
    if behind or not mappers:
        raise typer.Exit(ExitCode.FAILED)


@runtime.command("set-mode")
@guarded
def set_mode(
    mode: Annotated[MappingMode, typer.Argument(help="hybrid or rules_only")],
    reason: steering.Reason = "",
    actor: steering.Actor = "",
    wait: steering.Wait = 10.0,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Set the mode of every running mapper and wait until they obey."""
    manner = Manner(nats, nkey_seed, reason, actor, wait_s=wait, as_json=as_json)
    _switch(rules_only=mode is MappingMode.RULES_ONLY, manner=manner)


@runtime.command("kill-switch")
@guarded
def kill_switch(
    state: Annotated[str, typer.Argument(help="on: rules only; off: hybrid", metavar="on|off")],
    reason: steering.Reason = "",
    actor: steering.Actor = "",
    wait: steering.Wait = 10.0,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Rules only (on) or hybrid (off), on every running mapper."""
    if state not in ("on", "off"):
        raise Failure(f"{state!r} is neither on nor off", "write `kill-switch on`")
    manner = Manner(nats, nkey_seed, reason, actor, wait_s=wait, as_json=as_json)
    _switch(rules_only=state == "on", manner=manner)


def _switch(*, rules_only: bool, manner: Manner) -> None:
    if rules_only:
        steer(KillCommand(switch=Switch.MAPPER_MODE, value=MappingMode.RULES_ONLY), manner)
    else:
        steer(RestoreCommand(switch=Switch.MAPPER_MODE), manner)


async def _look(nats: str | None, nkey_seed: Any) -> tuple[Controls, list[Sample]]:
    async with reach(nats_url(nats), nkey_seed) as client:
        controls = await (await ControlStore.open(client.connection)).read()
        samples = await client.health()
    return controls, sorted((s for s in samples if s.service == "mapper"), key=lambda s: s.instance)
