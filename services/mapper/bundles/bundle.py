"""A bundle: rules as a component. Taxonomies with their detectors, controls and adapters, released as one.

A folder per taxonomy (``taxonomy.yaml``, ``detectors/*.yaml``, ``frameworks.yaml``) and ``bundle.json``
that names each one's adapter with its content; checksums stand in the manifest as for any component.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from services.mapper.definitions.definitions import Definitions, load_definitions
from services.mapper.definitions.document import DefinitionInvalid
from services.mapper.rules import RULES_VERSION
from trimtab.artifacts.manifest import ArtifactCorrupt, Manifest, verify, write_manifest

KIND = "mapper-rules"
"""Kind of the component."""

CARD = "bundle.json"
TAXONOMY, DETECTORS, FRAMEWORKS = "taxonomy.yaml", "detectors", "frameworks.yaml"

Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}\Z")]


class AdapterChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which adapter answers in a taxonomy."""

    adapter: Annotated[str, Meta(pattern=r"^([a-z0-9][a-z0-9_.-]*@[A-Za-z0-9.]+)?\Z")] = ""
    """``name@version``; empty: the rules serve alone."""
    hash: Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?\Z")] = ""
    """sha256 of its manifest; another content under that name is refused."""


class BundleCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What ``bundle.json`` says."""

    taxonomies: Annotated[dict[Name, AdapterChoice], Meta(min_length=1, max_length=16)]
    """Taxonomy -> its adapter; its files are in the folder of that name."""


@dataclass(frozen=True, slots=True)
class Part:
    """One taxonomy of a bundle."""

    definitions: Definitions
    """Read and checked."""
    choice: AdapterChoice
    """Its adapter."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A loaded bundle."""

    reference: str
    """``name@version``."""
    content_hash: str
    """sha256 of its manifest."""
    parts: tuple[Part, ...]
    """In the order of ``bundle.json``."""


def load_bundle(folder: Path) -> Bundle:
    """Verify a folder and read every definition in it.

    Raises:
        ArtifactError: a checksum differs, or a definition says something wrong; tells file and key.
    """
    manifest = verify(folder)
    try:
        card = msgspec.json.decode((folder / CARD).read_bytes(), type=BundleCard)
    except (OSError, msgspec.DecodeError) as error:
        raise ArtifactCorrupt(manifest.reference, CARD, f"does not parse: {error}") from None
    parts = [_part(manifest, folder, name, choice) for name, choice in card.taxonomies.items()]
    return Bundle(manifest.reference, manifest.hash, tuple(parts))


def _part(manifest: Manifest, folder: Path, name: str, choice: AdapterChoice) -> Part:
    try:
        found = _definitions(folder / name)
    except DefinitionInvalid as error:
        raise ArtifactCorrupt(manifest.reference, f"{name}/{error.file}", _said(error)) from None
    if found.taxonomy.name != name:
        problem = f"is of taxonomy {found.taxonomy.name}"
        raise ArtifactCorrupt(manifest.reference, f"{name}/{TAXONOMY}", problem)
    return Part(found, choice)


def _definitions(folder: Path) -> Definitions:
    controls = folder / FRAMEWORKS
    return load_definitions(
        folder / TAXONOMY, folder / DETECTORS, controls if controls.exists() else None
    )


def _said(error: DefinitionInvalid) -> str:
    return f"{error.key}: {error.problem}"


@dataclass(frozen=True, slots=True)
class Sources:
    """Files that one taxonomy of a new bundle is made of."""

    taxonomy: Path
    """YAML file."""
    detectors: Path | None
    """Folder of YAML files; None: no detector is declared."""
    frameworks: Path | None
    """YAML file; None: labels bear on no control."""
    choice: AdapterChoice
    """Its adapter."""


def write_bundle(folder: Path, reference: str, sources: list[Sources]) -> tuple[Bundle, Manifest]:
    """Write a bundle's folder and return it as it is read back; the same bytes for the same files.

    Raises:
        DefinitionInvalid: a definition says something wrong.
        ArtifactError: a taxonomy stands in it twice.
    """
    choices: dict[str, AdapterChoice] = {}
    parts = []
    for source in sources:
        part = Part(_checked(folder, source), source.choice)
        name = part.definitions.taxonomy.name
        if name in choices:
            raise ArtifactCorrupt(reference, name, "stands in it twice; leave one of them out")
        _copy(folder / name, source, part.definitions)
        choices[name] = source.choice
        parts.append(part)
    card = msgspec.json.encode(BundleCard(taxonomies=choices), order="deterministic")
    (folder / CARD).write_bytes(msgspec.json.format(card, indent=2) + b"\n")
    name, _, version = reference.partition("@")
    metadata: dict[str, str | int | float | bool] = {
        f"{part.definitions.taxonomy.name}.{kind}": told
        for part in parts
        for kind, told in _versions(part).items()
    }
    manifest = write_manifest(folder, name=name, version=version, kind=KIND, metadata=metadata)
    return load_bundle(folder), manifest


def _checked(folder: Path, source: Sources) -> Definitions:
    declared = source.detectors or folder / "none"
    return load_definitions(source.taxonomy, declared, source.frameworks)


def _copy(own: Path, source: Sources, found: Definitions) -> None:
    (own / DETECTORS).mkdir(parents=True)
    shutil.copyfile(source.taxonomy, own / TAXONOMY)
    if source.detectors is not None:
        for name in found.detectors.by_name:
            shutil.copyfile(source.detectors / f"{name}.yaml", own / DETECTORS / f"{name}.yaml")
    if source.frameworks is not None:
        shutil.copyfile(source.frameworks, own / FRAMEWORKS)


def _versions(part: Part) -> dict[str, str]:
    """Return what answers will say decided, as far as the bundle knows it: for listings and differences."""
    known, choice = part.definitions, part.choice
    return {
        "taxonomy": known.taxonomy.reference,
        "frameworks": known.frameworks.reference if known.frameworks else "none",
        "detectors": f"detectors+{known.detectors.hash}",
        "adapter": f"{choice.adapter}+{choice.hash[:12]}" if choice.adapter else "none",
        "rules": f"{RULES_VERSION}+{known.taxonomy.hash}.{known.detectors.hash}",
    }
