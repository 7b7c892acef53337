"""`trimtab mapper versions show|diff|list`: what each mapper has loaded, and every version that is stored."""

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from trimtab.artifacts.manifest import Manifest
from trimtab.artifacts.store import ArtifactStore
from trimtab.cli import options
from trimtab.cli.address import nats_url
from trimtab.cli.exitcode import ExitCode
from trimtab.cli.failure import Failure, guarded
from trimtab.cli.link import reach
from trimtab.cli.mapper import registry
from trimtab.cli.mapper.asking import mappers_of, states_of
from trimtab.cli.mapper.differing import Versions, difference, disagreements, versions_of
from trimtab.cli.output import print_json, stdout
from trimtab.client import Client
from trimtab.contracts.mappers import MappersRequest, MapperState
from trimtab.contracts.samples import Sample
from trimtab.control.effective import Controls
from trimtab.control.store import ControlStore

versions = typer.Typer(help="What each running mapper has loaded, and what is stored.")

_CARDS = ("adapter.json", "calibration.json", "report.json")


@versions.command("show")
@guarded
def show(
    nats: options.Nats = None, nkey_seed: options.Seed = None, as_json: options.Json = False
) -> None:
    """Show what every running mapper has loaded, with hashes; ends 1 when mappers differ."""
    controls, samples, states = asyncio.run(_look(nats, nkey_seed))
    component = controls.release.map
    differences = disagreements(states, component)
    if as_json:
        print_json(_shape(controls, samples, states, differences))
    else:
        _print(controls, states, differences)
    if differences or not any(versions_of(state, component) for state in states):
        raise typer.Exit(ExitCode.FAILED)


def _shape(
    controls: Controls, samples: list[Sample], states: list[MapperState], differences: list[str]
) -> dict[str, Any]:
    loaded = {sample.instance: sample for sample in samples}
    return {
        "release": controls.release.name,
        "component": controls.release.map,
        "agree": not differences,
        "differences": differences,
        "workers": {
            state.instance: {
                "components": loaded[state.instance].components,
                "facts": loaded[state.instance].facts,
                "revision": state.revision,
                "served": state.served,
                "refused": state.refused,
            }
            for state in states
        },
    }


def _print(controls: Controls, states: list[MapperState], differences: list[str]) -> None:
    console = stdout()
    console.print(f"release {controls.release.name} maps with {controls.release.map}")
    for state in states:
        for each in state.served:
            digest = each.component_hash[:12] or "rules only"
            console.print(
                f"{state.instance}  {each.component}  {digest}  {each.taxonomy}", markup=False
            )
            for kind, version in each.versions.items():
                console.print(f"    {kind}: {version}", markup=False, soft_wrap=True)
        for component, why in state.refused.items():
            console.print(
                f"{state.instance}  refused {component}: {why}", style="red", markup=False
            )
    for line in differences or ["all mappers agree"]:
        console.print(line, style="red" if differences else "green", soft_wrap=True)


@versions.command("diff")
@guarded
def diff(
    before: Annotated[
        str, typer.Argument(metavar="A", help="Snapshot, worker, release, component.")
    ],
    after: Annotated[str, typer.Argument(metavar="B", help="The same.")],
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Show what differs between two sets of versions.

    Each is a file that `versions show --json` wrote, a running mapper, a release, or a stored component.
    """
    if all(Path(name).is_file() for name in (before, after)):
        first, second = _snapshot(Path(before)), _snapshot(Path(after))
    else:
        first, second = asyncio.run(_both(nats, nkey_seed, before, after))
    lines = difference(first, second)
    if as_json:
        print_json(lines)
        return
    for line in lines or ["no difference"]:
        stdout().print(line, markup=False, soft_wrap=True)


async def _both(
    nats: str | None, nkey_seed: Path | None, before: str, after: str
) -> tuple[Versions, Versions]:
    async with reach(nats_url(nats), nkey_seed) as client:
        return await _named(client, before), await _named(client, after)


async def _named(client: Client, name: str) -> Versions:
    if await asyncio.to_thread(Path(name).is_file):
        return await asyncio.to_thread(_snapshot, Path(name))
    controls = await (await ControlStore.open(client.connection)).read()
    if name in controls.state.releases:
        return await _stored(client, controls.state.releases[name].map)
    if "@" in name:
        return await _stored(client, name)
    for state in await states_of(client, MappersRequest()):
        if state.instance == name:
            return versions_of(state, controls.release.map)
    remedy = "name a file of `versions show --json`, a mapper, a release, or a component"
    raise Failure(f"{name!r} is nothing that has versions", remedy)


async def _stored(client: Client, reference: str) -> Versions:
    """Return the versions of a component: as a mapper that has it loaded says, else as its manifest does."""
    for state in await states_of(client, MappersRequest()):
        found = versions_of(state, reference)
        if found:
            return found
    manifest = await (await ArtifactStore.open(client.connection)).manifest(reference)
    if manifest is None:
        raise Failure(f"no component {reference}", "`trimtab mapper versions list` shows all")
    told = {name: str(value) for name, value in manifest.metadata.items()}
    if manifest.kind == "mapper-rules":
        return told
    return {f"{told.get('taxonomy', 'any')}.adapter": f"{reference}+{manifest.hash[:12]}"}


def _snapshot(file: Path) -> Versions:
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        workers, component = told["workers"], told["component"]
        served = [each for worker in workers.values() for each in worker["served"]]
        return {
            f"{each['taxonomy']}.{kind}": str(version)
            for each in served
            if each["component"] == component
            for kind, version in each["versions"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        remedy = "write one with `trimtab mapper versions show --json > FILE`"
        raise Failure(f"{file} is no snapshot of versions", remedy) from None


@versions.command("list")
@guarded
def list_versions(
    nats: options.Nats = None, nkey_seed: options.Seed = None, as_json: options.Json = False
) -> None:
    """List every stored version: its status, its held-out quality, and the mappers that hold it."""
    stored, controls, samples = asyncio.run(_registry(nats, nkey_seed))
    found = registry.rows(stored, controls, samples)
    if as_json:
        print_json(found)
        return
    for line in [registry.line(row) for row in found] or ["no mapper component is stored"]:
        stdout().print(line, markup=False, soft_wrap=True)


async def _registry(
    nats: str | None, nkey_seed: Path | None
) -> tuple[list[registry.Stored], Controls, list[Sample]]:
    async with reach(nats_url(nats), nkey_seed) as client:
        store = await ArtifactStore.open(client.connection)
        found = [
            registry.Stored(manifest, await _quality(store, manifest))
            for manifest in await store.manifests()
            if manifest.kind in registry.KINDS
        ]
        controls = await (await ControlStore.open(client.connection)).read()
        return found, controls, await mappers_of(client)


async def _quality(store: ArtifactStore, manifest: Manifest) -> dict[str, Any]:
    cards = [name for name in _CARDS if name in manifest.files]
    return registry.quality_of(
        {name: json.loads(await store.file(manifest, name)) for name in cards}
    )


async def _look(
    nats: str | None, nkey_seed: Path | None
) -> tuple[Controls, list[Sample], list[MapperState]]:
    async with reach(nats_url(nats), nkey_seed) as client:
        controls = await (await ControlStore.open(client.connection)).read()
        return controls, await mappers_of(client), await states_of(client, MappersRequest())
