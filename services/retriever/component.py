"""A retriever component from its folder: the plan, and the trained indexes that come with it, all verified."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from services.retriever.dense import kinds
from services.retriever.dense.flat import UnreadableIndex
from services.retriever.dense.trained import INDEXES, Trained, TrainedIndex
from services.retriever.plan import FILE, Plan, load_plan
from trimtab.artifacts.manifest import ArtifactCorrupt, Manifest


@dataclass(frozen=True, slots=True)
class Component:
    """A retriever component, verified."""

    plan: Plan
    """How candidates are found and fused."""
    manifest: Manifest
    """Its name and checksums."""
    trained: dict[str, Trained]
    """By collection."""


def load_component(folder: Path) -> Component:
    """Verify a component folder, and that every trained index in it can be read.

    Raises:
        ArtifactError: a checksum differs, a file is missing, or plan and indexes do not fit each other.
    """
    plan, manifest = load_plan(folder)
    if INDEXES not in manifest.files:
        return Component(plan, manifest, {})
    try:
        records = msgspec.json.decode((folder / INDEXES).read_bytes(), type=list[TrainedIndex])
    except (OSError, msgspec.DecodeError) as error:
        raise ArtifactCorrupt(manifest.reference, INDEXES, f"does not parse: {error}") from None
    trained = {}
    for record in records:
        if record.kind != plan.index.kind:
            problem = f"is {record.kind}, {FILE} says {plan.index.kind}"
            raise ArtifactCorrupt(manifest.reference, record.file, problem)
        trained[record.collection] = _verified(folder, manifest, plan, record)
    return Component(plan, manifest, trained)


def _verified(folder: Path, manifest: Manifest, plan: Plan, record: TrainedIndex) -> Trained:
    if record.file not in manifest.files:
        raise ArtifactCorrupt(manifest.reference, record.file, "has no checksum in the manifest")
    path = folder / record.file
    try:
        kinds.read(plan.index, path, record.dimension, 0)
    except UnreadableIndex as error:
        raise ArtifactCorrupt(manifest.reference, record.file, str(error)) from None
    return Trained(record, path)
