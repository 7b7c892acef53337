"""A mapper component: the adapter's numbers, its calibration and what it was trained for, on disk.

``adapter.json`` says what it expects, ``calibration.json`` what its confidence means,
``head.safetensors`` holds the numbers; all verified by checksum before they are read.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from services.mapper.adapter import Adapter, Anchors, Feature, Lexical, Linear
from services.mapper.calibration import Calibration
from services.mapper.taxonomy import Taxonomy
from trimtab.artifacts.manifest import (
    ArtifactCorrupt,
    Manifest,
    verify,
    write_manifest,
)

CARD = "adapter.json"
CALIBRATION = "calibration.json"
HEAD = "head.safetensors"
KIND = "mapper"

SHIPPED = Path(__file__).parent / "components"
"""Components that come with the code, by reference."""

T = TypeVar("T")

_SCALE = np.float32(127.0)


class AdapterCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the numbers were trained for."""

    taxonomy: str
    """Name of the taxonomy whose labels it answers with."""
    taxonomy_hash: str
    """Content of that taxonomy when it was trained."""
    namespace: str
    """Vector space of the encoder."""
    dimension: Annotated[int, Meta(ge=1, le=16384)]
    """Numbers per vector."""
    labels: Annotated[list[str], Meta(min_length=2)]
    """In index order."""
    buckets: Annotated[int, Meta(ge=1, le=1 << 20)]
    """Hash buckets of the lexical features."""
    weights: dict[Feature, Annotated[float, Meta(ge=0)]]
    """How much each score counts."""
    training: dict[str, float | int | str]
    """What it was trained on and how it went."""


class CalibrationCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What its confidence means."""

    kind: str
    """How it was fitted: ``isotonic``."""
    raw: list[float]
    """Corners' raw probabilities."""
    calibrated: list[float]
    """Share that was right there."""
    answers: int
    """Held-out answers behind it."""
    error_before: float
    """Expected calibration error of the raw probabilities, held out."""
    error_after: float
    """The same after calibration, each fold by a calibration that never saw it."""


@dataclass(frozen=True, slots=True)
class Component:
    """A loaded adapter."""

    reference: str
    """``name@version``."""
    content_hash: str
    """sha256 of its manifest."""
    card: AdapterCard
    """What it expects."""
    adapter: Adapter
    """Its numbers."""

    def foreign_to(self, taxonomy: Taxonomy) -> str:
        """Return why it cannot answer in a taxonomy; empty when it can."""
        if self.card.taxonomy != taxonomy.name:
            return f"{self.reference} was trained for taxonomy {self.card.taxonomy}"
        unknown = [label for label in self.card.labels if label not in taxonomy.labels]
        if unknown:
            return f"{self.reference} was trained for labels that are gone: {', '.join(unknown)}"
        return ""


def load_component(folder: Path) -> Component:
    """Verify a folder and load it.

    Raises:
        ArtifactError: a checksum differs, a file is missing or of an unsafe kind, or the parts do
            not fit each other.
    """
    manifest = verify(folder)
    card = _read(folder / CARD, AdapterCard, manifest)
    calibration = _read(folder / CALIBRATION, CalibrationCard, manifest)
    tensors = _tensors(folder, manifest, card)
    try:
        line = Calibration(tuple(calibration.raw), tuple(calibration.calibrated))
    except ValueError as error:
        raise ArtifactCorrupt(manifest.reference, CALIBRATION, str(error)) from None
    if set(card.weights) != set(Feature):
        raise ArtifactCorrupt(manifest.reference, CARD, "must weigh every score of this code")
    adapter = Adapter(
        labels=tuple(card.labels),
        dense=Linear(_f32(tensors["dense.weight"]), _f32(tensors["dense.bias"])),
        words=Lexical(
            _f32(tensors["lexical.rows"]),
            _f32(tensors["lexical.bias"]),
            _f32(tensors["lexical.idf"]),
        ),
        descriptions=_anchors(tensors, "descriptions"),
        aliases=_anchors(tensors, "aliases"),
        examples=_anchors(tensors, "examples"),
        weights=dict(card.weights),
        calibration=line,
    )
    return Component(manifest.reference, manifest.hash, card, adapter)


def save_component(
    folder: Path, reference: str, adapter: Adapter, card: AdapterCard, calibration: CalibrationCard
) -> Manifest:
    """Write the files and the manifest of a component; the same bytes for the same numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in ((CARD, card), (CALIBRATION, calibration)):
        encoded = msgspec.json.format(msgspec.json.encode(content, order="deterministic"), indent=2)
        (folder / name).write_bytes(encoded + b"\n")
    tensors: dict[str, NDArray[Any]] = {
        "dense.weight": adapter.dense.weight.astype(np.float32),
        "dense.bias": adapter.dense.bias.astype(np.float32),
        "lexical.rows": adapter.words.rows.astype(np.float16),
        "lexical.bias": adapter.words.bias.astype(np.float32),
        "lexical.idf": adapter.words.idf.astype(np.float32),
    }
    for kind in ("descriptions", "aliases", "examples"):
        anchors: Anchors = getattr(adapter, kind)
        tensors[f"{kind}.vectors"] = np.rint(anchors.vectors * _SCALE).astype(np.int8)
        tensors[f"{kind}.labels"] = anchors.labels.astype(np.int32)
    # safetensors writes memory as it lies: scikit-learn's weights lie column by column.
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    (folder / HEAD).write_bytes(save(contiguous))
    name, _, version = reference.partition("@")
    metadata: dict[str, str | int | float | bool] = {
        "taxonomy": card.taxonomy,
        "namespace": card.namespace,
    }
    return write_manifest(folder, name=name, version=version, kind=KIND, metadata=metadata)


def _read(path: Path, kind: type[T], manifest: Manifest) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError) as error:
        raise ArtifactCorrupt(manifest.reference, path.name, f"does not parse: {error}") from None


def _tensors(folder: Path, manifest: Manifest, card: AdapterCard) -> dict[str, NDArray[Any]]:
    try:
        tensors: dict[str, NDArray[Any]] = load((folder / HEAD).read_bytes())
    except (OSError, SafetensorError) as error:
        raise ArtifactCorrupt(
            manifest.reference, HEAD, f"cannot be read ({type(error).__name__})"
        ) from None
    problem = _misfit(tensors, card)
    if problem:
        raise ArtifactCorrupt(manifest.reference, HEAD, problem)
    return tensors


def _misfit(tensors: dict[str, NDArray[Any]], card: AdapterCard) -> str | None:
    """Return what does not fit between the numbers and the card; None when all does."""
    labels = len(card.labels)
    shapes: dict[str, tuple[int, ...]] = {
        "dense.weight": (labels, card.dimension),
        "dense.bias": (labels,),
        "lexical.rows": (card.buckets, labels),
        "lexical.bias": (labels,),
        "lexical.idf": (card.buckets,),
    }
    anchors = ("descriptions", "aliases", "examples")
    names = {*shapes, *(f"{kind}.{part}" for kind in anchors for part in ("vectors", "labels"))}
    if set(tensors) != names:
        return f"does not hold exactly {', '.join(sorted(names))}"
    for kind in anchors:
        owners = tensors[f"{kind}.labels"]
        shapes[f"{kind}.vectors"] = (len(owners), card.dimension)
        if len(owners) and (owners.min() < 0 or owners.max() >= labels):
            return f"{kind}.labels points outside the labels"
        if (np.diff(owners) < 0).any():
            return f"{kind}.labels does not rise"
    for name, shape in shapes.items():
        if tensors[name].shape != shape:
            return f"{name} is {tensors[name].shape}, not {shape}"
        if not np.isfinite(tensors[name]).all():
            return f"{name} holds a number that is not finite"
    return None


def _f32(tensor: NDArray[Any]) -> NDArray[np.float32]:
    return np.ascontiguousarray(tensor, dtype=np.float32)


def _anchors(tensors: dict[str, NDArray[Any]], kind: str) -> Anchors:
    """Restore unit rows from int8, which keeps cosines within 0.005."""
    vectors = _f32(tensors[f"{kind}.vectors"])
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return Anchors(vectors / np.maximum(norms, 1e-9), tensors[f"{kind}.labels"].astype(np.int64))
