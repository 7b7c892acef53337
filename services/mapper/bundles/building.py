"""``python -m services.mapper.bundles.building --name NAME@VERSION``: rules on disk become a component.

Asked for by `trimtab mapper rules build`. Everything is checked as a mapper checks it before it serves.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from services.mapper.bundles.bundle import (
    CARD,
    DETECTORS,
    FRAMEWORKS,
    TAXONOMY,
    AdapterChoice,
    Bundle,
    BundleCard,
    Sources,
    load_bundle,
    write_bundle,
)
from services.mapper.command import add_json, finish
from services.mapper.definitions.definitions import SHIPPED_FRAMEWORKS
from services.mapper.engines.card import is_engine
from services.mapper.model.component import load_component
from services.mapper.reporting import find
from services.mapper.settings import MapperSettings
from services.mapper.train import reference, taxonomy_file
from trimtab.artifacts.manifest import ArtifactError, Manifest, read_manifest
from trimtab.supervisor.home import Home

NO_ADAPTER = "none"


def build(given: argparse.Namespace) -> tuple[Bundle, Manifest, Path]:
    """Build a bundle as the command line says; nothing half-written stays.

    Raises:
        DefinitionInvalid: a definition says something wrong.
        ArtifactError: the adapter cannot be had or is of other labels, or the version exists with other content.
    """
    out = (given.out or Home.find().root / "bundles") / given.name
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".bundle-", dir=out.parent) as beside:
        made = Path(beside) / given.name
        made.mkdir()
        bundle, manifest = write_bundle(made, given.name, [*_own(given), *_added(given.add)])
        _check_adapters(bundle)
        _install(made, manifest, out)
    return bundle, manifest, out


def _install(made: Path, manifest: Manifest, out: Path) -> None:
    if out.exists():
        if read_manifest(out).hash == manifest.hash:
            return
        raise ArtifactError(f"{manifest.reference} exists with other content; use a new version")
    shutil.move(made, out)


def _own(given: argparse.Namespace) -> list[Sources]:
    """Return the one taxonomy that the options name; the shipped one without any, unless others are added."""
    settings = MapperSettings()
    if given.add and not given.taxonomy:
        return []
    shipped = not given.taxonomy
    taxonomy = settings.taxonomy if shipped else taxonomy_file(given.taxonomy)
    return [
        Sources(
            taxonomy=taxonomy,
            detectors=given.detectors or (settings.detectors if shipped else None),
            frameworks=given.frameworks
            or (SHIPPED_FRAMEWORKS / taxonomy.name if shipped else None),
            choice=_choice(given.adapter or (settings.components[0] if shipped else NO_ADAPTER)),
        )
    ]


def _choice(adapter: str) -> AdapterChoice:
    if adapter == NO_ADAPTER:
        return AdapterChoice()
    manifest = read_manifest(find(adapter, Home.find().root / "adapters"))
    return AdapterChoice(adapter=manifest.reference, hash=manifest.hash)


def _added(folders: Sequence[Path]) -> list[Sources]:
    """Return every taxonomy of bundles that were built before."""
    found = []
    for folder in folders:
        load_bundle(folder)
        card = msgspec.json.decode((folder / CARD).read_bytes(), type=BundleCard)
        for name, choice in card.taxonomies.items():
            controls = folder / name / FRAMEWORKS
            found.append(
                Sources(
                    folder / name / TAXONOMY,
                    folder / name / DETECTORS,
                    controls if controls.exists() else None,
                    choice,
                )
            )
    return found


def _check_adapters(bundle: Bundle) -> None:
    """Refuse an adapter of other labels; one that is not here is checked by the mappers that load it."""
    for part in bundle.parts:
        if not part.choice.adapter:
            continue
        try:
            folder = find(part.choice.adapter, Home.find().root / "adapters")
        except ArtifactError:
            continue
        if is_engine(folder):
            continue  # it answers with labels of whatever taxonomy it is given
        foreign = load_component(folder).foreign_to(part.definitions.taxonomy)
        if foreign:
            raise ArtifactError(f"{bundle.reference}: {foreign}; train one for this taxonomy")


def shape(bundle: Bundle, manifest: Manifest, folder: Path) -> dict[str, Any]:
    """Return what was built, for scripts."""
    return {
        "component": bundle.reference,
        "hash": bundle.content_hash,
        "folder": str(folder),
        "taxonomies": [part.definitions.taxonomy.name for part in bundle.parts],
        "versions": manifest.metadata,
    }


def lines(told: dict[str, Any]) -> list[str]:
    """Return the same for people."""
    versions = [f"    {what}: {version}" for what, version in told["versions"].items()]
    named = ", ".join(told["taxonomies"])
    return [
        f"{told['component']} {told['hash'][:12]}: {named}, in {told['folder']}",
        *versions,
        f"release it with `trimtab mapper rules deploy {told['folder']}`",
    ]


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(
        prog="python -m services.mapper.bundles.building", description=__doc__
    )
    made.add_argument("--name", required=True, type=reference, help="name@version")
    made.add_argument("--taxonomy", default="", help="YAML file, or a name; default: the shipped")
    made.add_argument("--detectors", type=Path, help="folder of detector files")
    made.add_argument("--frameworks", type=Path, help="file of the controls that labels bear on")
    made.add_argument("--adapter", default="", help="name@version, or none: rules alone")
    made.add_argument(
        "--add",
        type=Path,
        action="append",
        default=[],
        help="bundle folder whose taxonomies to add",
    )
    made.add_argument("--out", type=Path, help="folder to put it in; default: bundles/ in the home")
    add_json(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 1 with one line on stderr when it cannot be done."""
    given = parser().parse_args(argv)

    def work() -> tuple[Any, list[str]]:
        told = shape(*build(given))
        return told, lines(told)

    return finish(work, as_json=given.json)


if __name__ == "__main__":
    sys.exit(main())
