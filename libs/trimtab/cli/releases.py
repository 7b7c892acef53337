"""`trimtab release create|delete|list|show|diff`, `trimtab canary …`, `trimtab rollback`."""

import asyncio
import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from trimtab.cli import options, steering
from trimtab.cli.address import nats_url
from trimtab.cli.failure import Failure, guarded
from trimtab.cli.gate import gate
from trimtab.cli.link import reach
from trimtab.cli.output import print_json, stdout
from trimtab.cli.steering import Manner, steer
from trimtab.contracts.component import Release
from trimtab.contracts.orders import (
    AbortCommand,
    Command,
    CreateReleaseCommand,
    DeleteReleaseCommand,
    PauseCommand,
    PromoteCommand,
    ResumeCommand,
    RollBackCommand,
    SetWeightCommand,
    StartCanaryCommand,
)
from trimtab.control.commands import document_difference
from trimtab.control.effective import Controls
from trimtab.control.gates import shortfall
from trimtab.control.store import ControlStore
from trimtab.control.tunables import QUERY_MODEL

release = typer.Typer(help="Releases: one component version per stage, immutable.")
canary = typer.Typer(help="Ramp a release, watch it, take it back.")
Name = Annotated[str, typer.Argument(help="Release.", metavar="RELEASE")]


@release.command("create")
@guarded
def create(
    name: Name,
    encode: Annotated[str, typer.Option(help="Component.")] = "",
    retrieve: Annotated[str, typer.Option(help="Component.")] = "",
    rerank: Annotated[str, typer.Option(help="Component, or `none`.")] = "",
    mapper: Annotated[str, typer.Option("--map", help="Component.")] = "",
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--setting", help="Like retriever.nprobe=4 or retriever.impl=mean; repeatable."
        ),
    ] = None,
    base: Annotated[
        str, typer.Option("--from", help="Release to start from; default: the stable one.")
    ] = "",
    reason: steering.Reason = "",
    actor: steering.Actor = "",
    dry_run: steering.DryRun = False,
    wait: steering.Wait = 10.0,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Make a release from another one with some components or settings replaced."""
    controls = _controls(nats, nkey_seed)
    origin = _find(controls, base or controls.state.stable)
    changes: dict[str, object] = {"name": name, "settings": _settings(origin, setting or [])}
    chosen = {"encode": encode, "retrieve": retrieve, "rerank": rerank, "map": mapper}
    for stage, component in chosen.items():
        if component:
            changes[stage] = None if component == "none" else component
    made = msgspec.structs.replace(origin, **changes)
    manner = Manner(nats, nkey_seed, reason, actor, dry_run, wait_s=wait, as_json=as_json)
    steer(CreateReleaseCommand(release=_checked(made)), manner)


@release.command("delete")
@guarded
def delete(
    name: Name,
    reason: steering.Reason = "",
    actor: steering.Actor = "",
    dry_run: steering.DryRun = False,
    expect_revision: steering.Expect = None,
    wait: steering.Wait = 10.0,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Forget a release; workers unload what only it named. Refused while it serves or can be returned to.

    A release that is not there is deleted already. Its components stay in the artifact store.
    """
    manner = Manner(
        nats, nkey_seed, reason, actor, dry_run, expect_revision, wait_s=wait, as_json=as_json
    )
    steer(DeleteReleaseCommand(release=name), manner)


@release.command("list")
@guarded
def list_releases(
    nats: options.Nats = None, nkey_seed: options.Seed = None, as_json: options.Json = False
) -> None:
    """List every release with its content hash and its role."""
    controls = _controls(nats, nkey_seed)
    rows = [
        {"name": r.name, "hash": r.hash, "role": _role(controls, r.name)}
        for r in sorted(controls.state.releases.values(), key=lambda r: r.name)
    ]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        stdout().print(f"{row['hash']}  {row['name']}  {row['role']}", markup=False)


@release.command("show")
@guarded
def show(
    name: Name,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Show one release whole, and what was measured of it."""
    controls = _controls(nats, nkey_seed)
    found = _find(controls, name)
    told = {**msgspec.to_builtins(found), "hash": found.hash}
    reports = controls.state.gates.get(name, {})
    if as_json:
        gates = {gate: {"report": r, "shortfall": shortfall(r)} for gate, r in reports.items()}
        print_json({**told, "gates": gates})
        return
    for key, value in told.items():
        stdout().print(f"{key}: {value}", markup=False, soft_wrap=True)
    for gate_name, report in reports.items():
        day = time.strftime("%Y-%m-%d", time.localtime(report.at))
        said = shortfall(report) or "passes"
        stdout().print(f"gate {gate_name}: {said} ({report.cases} cases, {day})", markup=False)


@release.command("diff")
@guarded
def diff(
    before: Name,
    after: Name,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Show what differs between two releases."""
    controls = _controls(nats, nkey_seed)
    lines = document_difference(_find(controls, before), _find(controls, after))
    if as_json:
        print_json(lines)
        return
    for line in lines or ["no difference"]:
        stdout().print(line, markup=False, soft_wrap=True)


release.command("gate")(gate)


@canary.command("start")
@guarded
def start(
    name: Name,
    policy: Annotated[str, typer.Option("--policy", help="Ramp policy by name.")] = "",
    weight: Annotated[
        float, typer.Option("--weight", help="Percent, without a policy.", min=0, max=100)
    ] = 0.0,
    reason: steering.Reason = "",
    actor: steering.Actor = "",
    dry_run: steering.DryRun = False,
    expect_revision: steering.Expect = None,
    force: steering.Force = False,
    wait: steering.Wait = 10.0,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Begin to ramp a release, by a policy or by hand."""
    command = StartCanaryCommand(release=name, policy=policy, weight_bp=round(weight * 100))
    manner = Manner(
        nats, nkey_seed, reason, actor, dry_run, expect_revision, force, False, wait, as_json
    )
    steer(command, manner)


@canary.command("weight")
@guarded
def weight(
    percent: Annotated[float, typer.Argument(help="Percent of requests.", min=0, max=100)],
    reason: steering.Reason = "",
    actor: steering.Actor = "",
    dry_run: steering.DryRun = False,
    expect_revision: steering.Expect = None,
    force: steering.Force = False,
    wait: steering.Wait = 10.0,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Set the canary's share by hand; its policy no longer moves it."""
    manner = Manner(
        nats, nkey_seed, reason, actor, dry_run, expect_revision, force, False, wait, as_json
    )
    steer(SetWeightCommand(weight_bp=round(percent * 100)), manner)


def _verb(name: str, command: Command, help_text: str) -> None:
    @canary.command(name, help=help_text)
    @guarded
    def verb(
        reason: steering.Reason = "",
        actor: steering.Actor = "",
        dry_run: steering.DryRun = False,
        expect_revision: steering.Expect = None,
        force: steering.Force = False,
        wait: steering.Wait = 10.0,
        nats: options.Nats = None,
        nkey_seed: options.Seed = None,
        as_json: options.Json = False,
    ) -> None:
        manner = Manner(
            nats, nkey_seed, reason, actor, dry_run, expect_revision, force, False, wait, as_json
        )
        steer(command, manner)


_verb("pause", PauseCommand(), "Keep the weight, stop the ramp.")
_verb("resume", ResumeCommand(), "Go on with a paused or held ramp.")
_verb("promote", PromoteCommand(), "Make the canary the stable release.")
_verb("abort", AbortCommand(), "End the ramp, weight 0; terminal.")


@guarded
def rollback(
    to: Annotated[str | None, typer.Option("--to", help="Release to return to.")] = None,
    reason: steering.Reason = "",
    actor: steering.Actor = "",
    dry_run: steering.DryRun = False,
    expect_revision: steering.Expect = None,
    force: steering.Force = False,
    direct: steering.Direct = False,
    wait: steering.Wait = 10.0,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Take a running canary back, else return to the previous release; needs no controller."""
    manner = Manner(
        nats, nkey_seed, reason, actor, dry_run, expect_revision, force, direct, wait, as_json
    )
    steer(RollBackCommand(to=to), manner)


def _controls(nats: str | None, nkey_seed: Path | None) -> Controls:
    async def read() -> Controls:
        async with reach(nats_url(nats), nkey_seed) as client:
            return await (await ControlStore.open(client.connection)).read()

    return asyncio.run(read())


def _find(controls: Controls, name: str) -> Release:
    found = controls.state.releases.get(name)
    if found is None:
        known = ", ".join(sorted(controls.state.releases))
        raise Failure(f"unknown release {name!r}", f"known releases: {known}")
    return found


def _role(controls: Controls, name: str) -> str:
    state = controls.state
    if name == state.stable:
        return "stable"
    if state.canary is not None and state.canary.release == name:
        return f"canary {state.canary.phase.value} {state.canary.weight_bp / 100:g} %"
    return "previous" if name == state.previous else ""


def _settings(origin: Release, given: list[str]) -> dict[str, float | int | str | bool]:
    settings = dict(origin.settings)
    for text in given:
        key, _, value = text.partition("=")
        try:
            settings[key] = value if key == QUERY_MODEL else float(value)
        except ValueError:
            raise Failure(f"{text!r} is no setting", "write retriever.nprobe=4") from None
    return settings


def _checked(made: Release) -> Release:
    """Check the patterns of the contract, which a replaced struct has not been checked against."""
    try:
        return msgspec.convert(msgspec.to_builtins(made), Release)
    except msgspec.ValidationError as error:
        raise Failure(f"not a release: {error}", "components are written name@version") from None
