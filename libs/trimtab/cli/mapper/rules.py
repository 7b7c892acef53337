"""`trimtab mapper rules build|deploy`: rules as a component, released while requests flow."""

import asyncio
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from trimtab.artifacts.manifest import Manifest, verify
from trimtab.artifacts.store import ArtifactStore
from trimtab.cli import options, steering
from trimtab.cli.address import nats_url
from trimtab.cli.exitcode import ExitCode
from trimtab.cli.failure import Failure, guarded
from trimtab.cli.link import reach
from trimtab.cli.mapper.asking import states_of
from trimtab.cli.mapper.training import run
from trimtab.cli.output import print_json, stdout
from trimtab.cli.steering import reached, show_convergence, who
from trimtab.client import Client
from trimtab.contracts.component import subject_token
from trimtab.contracts.control import Convergence
from trimtab.contracts.mappers import MappersRequest
from trimtab.contracts.orders import (
    Command,
    CreateReleaseCommand,
    Order,
    Outcome,
    PromoteCommand,
    StartCanaryCommand,
)
from trimtab.control.quality import Environment
from trimtab.control.store import ControlStore

rules = typer.Typer(
    help="Rules as a component: taxonomies, detectors, controls and adapters as one."
)

KIND = "mapper-rules"

_LOOK_S = 0.2


@rules.command("build")
@guarded
def build(
    name: Annotated[str, typer.Option("--name", metavar="NAME@VERSION", help="Of the bundle.")],
    taxonomy: Annotated[
        str, typer.Option("--taxonomy", metavar="FILE|NAME", help="Default: the shipped one.")
    ] = "",
    detectors: Annotated[
        Path | None, typer.Option("--detectors", file_okay=False, help="Folder of detector files.")
    ] = None,
    frameworks: Annotated[
        Path | None, typer.Option("--frameworks", dir_okay=False, help="File of the controls.")
    ] = None,
    adapter: Annotated[
        str,
        typer.Option("--adapter", metavar="NAME@VERSION|none", help="Answers beside the rules."),
    ] = "",
    add: Annotated[
        list[Path] | None,
        typer.Option("--add", file_okay=False, help="Bundle whose taxonomies to add; repeatable."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", file_okay=False, help="Folder. Default: in the home.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Check rules and make a component of them; wrong ones are refused with file and key."""
    words = ["--name", name, "--taxonomy", taxonomy, "--adapter", adapter]
    places = {"--detectors": detectors, "--frameworks": frameworks, "--out": out}
    words += [word for key, place in places.items() if place for word in (key, str(place))]
    words += [word for folder in add or [] for word in ("--add", str(folder))]
    run("services.mapper.bundles.building", words, as_json=as_json)


@dataclass(frozen=True)
class _Asked:
    folder: Path
    release: str
    reason: str
    actor: str
    force: bool
    wait_s: float
    validate: list[str]
    """Words of the golden cases' command; empty: they are not asked."""


@rules.command("deploy")
@guarded
def deploy(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", exists=True, file_okay=False, help="Of a bundle.")
    ],
    name: Annotated[
        str, typer.Option("--release", help="Of the release; default: named like the bundle.")
    ] = "",
    validate: Annotated[
        bool, typer.Option("--validate/--no-validate", help="Ask its golden cases first.")
    ] = True,
    environment: Annotated[
        Environment,
        typer.Option("--environment", "-e", metavar="dev|staging|prod", help="Whose thresholds."),
    ] = Environment.PROD,
    cases: Annotated[
        Path | None,
        typer.Option("--cases", exists=True, file_okay=False, help="Folder of golden cases."),
    ] = None,
    reason: steering.Reason = "",
    actor: steering.Actor = "",
    force: steering.Force = False,
    wait: steering.Wait = 60.0,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Release a bundle of rules on running mappers; `trimtab rollback` takes it back.

    It is stored, loaded beside what serves, asked its golden cases, and made the stable release by the
    controller, whose interlocks hold. A bundle that a mapper refuses never serves: the last good one stays.
    """
    words = ["--environment", environment.value, "--nats", nats_url(nats)]
    words += ["--nkey-seed", str(nkey_seed)] if nkey_seed else []
    words += ["--cases", str(cases)] if cases else []
    words += ["--actor", who(actor), "--reason", reason]
    asked = _Asked(folder, name, reason, actor, force, wait, words if validate else [])
    told, at = asyncio.run(_deploy(nats, nkey_seed, asked))
    if as_json:
        print_json({**told, "convergence": at})
    else:
        stdout().print(f"{told['release']} maps with {told['component']} {told['hash'][:12]}")
        show_convergence(at)
        stdout().print("`trimtab rollback` takes it back", markup=False)
    if at.status != "converged":
        raise typer.Exit(ExitCode.FAILED)


async def _deploy(
    nats: str | None, nkey_seed: Path | None, asked: _Asked
) -> tuple[dict[str, Any], Convergence]:
    manifest = await asyncio.to_thread(verify, asked.folder)
    if manifest.kind != KIND:
        remedy = "make one with `trimtab mapper rules build`"
        raise Failure(f"{manifest.reference} is no bundle of rules", remedy)
    async with reach(nats_url(nats), nkey_seed) as client:
        await (await ArtifactStore.open(client.connection)).push(asked.folder)
        release = asked.release or subject_token(manifest.reference)
        await _create(client, manifest, release, asked)
        await _loaded(client, manifest, asked.wait_s)
        await asyncio.to_thread(_validate, release, asked.validate)
        await _order(client, StartCanaryCommand(release=release), asked)
        outcome = await _order(client, PromoteCommand(), asked)
        at = await reached(client, outcome.revision, asked.wait_s)
    told = {
        "component": manifest.reference,
        "hash": manifest.hash,
        "release": release,
        "revision": outcome.revision,
        "interlocks": outcome.findings,
    }
    return told, at


async def _create(client: Client, manifest: Manifest, release: str, asked: _Asked) -> None:
    controls = await (await ControlStore.open(client.connection)).read()
    made = msgspec.structs.replace(controls.release, name=release, map=manifest.reference)
    await _order(client, CreateReleaseCommand(release=made), asked)


async def _loaded(client: Client, manifest: Manifest, wait_s: float) -> None:
    """Wait until every mapper has loaded the bundle.

    Raises:
        Failure: one refused it, and says why; or not all had it in time.
    """
    give_up_at = time.monotonic() + wait_s
    while True:
        states = await states_of(client, MappersRequest())
        for state in states:
            if manifest.reference in state.refused:
                why = state.refused[manifest.reference]
                remedy = "correct it, build it under a new version; what served goes on serving"
                raise Failure(f"{state.instance} refused it: {why}", remedy)
        has = [any(each.component_hash == manifest.hash for each in s.served) for s in states]
        if all(has):
            return
        if time.monotonic() > give_up_at:
            remedy = "see `trimtab mapper versions show`, or give it a longer --wait"
            raise Failure(f"{has.count(False)} mappers have not loaded it", remedy)
        await asyncio.sleep(_LOOK_S)


def _validate(release: str, words: list[str]) -> None:
    """Ask the release its golden cases; the report is kept with it, which the interlock looks at."""
    if not words:
        return
    module = "services.mapper.quality.validate"
    command = [sys.executable, "-m", module, release, *words, "--json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - our own module
    if done.returncode:
        remedy = f"see `trimtab mapper quality validate {release}`; what served goes on serving"
        raise Failure(f"{release} fails its golden cases", remedy)


async def _order(client: Client, command: Command, asked: _Asked) -> Outcome:
    order = Order(
        operation=uuid.uuid4().hex,
        command=command,
        actor=who(asked.actor),
        reason=asked.reason,
        force=asked.force,
    )
    return await client.order(order)
