"""A mapper component: the adapter's numbers, its calibration and what it was trained for, on disk.

``adapter.json`` says what it expects, ``calibration.json`` what its confidence means, ``report.json``
how good it was on held-out examples, ``head.safetensors`` holds the numbers; all verified by checksum
before they are read.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta
from safetensors import SafetensorError
from safetensors.numpy import load, save

from services.mapper.definitions.taxonomy import Taxonomy
from services.mapper.model.adapter import Adapter, Feature
from services.mapper.model.calibration import Calibration, Kind, Line, Platt, Temperature
from services.mapper.model.held import HeldOut
from services.mapper.model.tensors import Tensors, misfit, pack, unpack
from trimtab.artifacts.manifest import (
    ArtifactCorrupt,
    ArtifactError,
    Manifest,
    verify,
    write_manifest,
)

CARD = "adapter.json"
CALIBRATION = "calibration.json"
HEAD = "head.safetensors"
REPORT = "report.json"
KIND = "mapper"

SHIPPED = Path(__file__).parents[1] / "components"
"""Components that come with the code, by reference."""

T = TypeVar("T")


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
    """How much each score counts; what is not named does not."""
    training: dict[str, float | int | str]
    """What it was trained on and how it went."""


class CalibrationCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What its confidence means."""

    kind: Kind
    """How it was fitted: which of the following counts."""
    raw: list[float] = []
    """Isotonic: corners' raw probabilities."""
    calibrated: list[float] = []
    """Isotonic: share that was right there."""
    temperature: float = 1.0
    """Temperature: what logits are divided by."""
    slope: float = 1.0
    """Platt: of the log-odds."""
    intercept: float = 0.0
    """Platt: added to them."""
    answers: int
    """Held-out answers behind it."""
    error_before: float
    """Expected calibration error of the raw probabilities, held out."""
    error_after: float
    """The same after calibration, each fold by a calibration that never saw it."""

    @classmethod
    def of(
        cls, calibration: Calibration, *, answers: int, before: float, after: float
    ) -> "CalibrationCard":
        """Write down a calibration."""
        told: dict[str, Any] = {"answers": answers, "error_before": before, "error_after": after}
        match calibration:
            case Temperature(value):
                return cls(kind=Kind.TEMPERATURE, temperature=value, **told)
            case Platt(slope, intercept):
                return cls(kind=Kind.PLATT, slope=slope, intercept=intercept, **told)
            case Line(raw, calibrated):
                return cls(kind=Kind.ISOTONIC, raw=list(raw), calibrated=list(calibrated), **told)

    def calibration(self) -> Calibration:
        """Return it as it is applied; raises ValueError when its numbers make no sense."""
        match self.kind:
            case Kind.TEMPERATURE:
                return Temperature(self.temperature)
            case Kind.PLATT:
                return Platt(self.slope, self.intercept)
            case Kind.ISOTONIC:
                return Line(tuple(self.raw), tuple(self.calibrated))


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
    calibration: str = ""
    """Kind and content of its calibration: ``isotonic+bf09ccfd1ea6``; empty when it was not read from files."""

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
    told = _read(folder / CALIBRATION, CalibrationCard, manifest)
    if not card.weights:
        raise ArtifactCorrupt(manifest.reference, CARD, "must weigh at least one score")
    tensors = _tensors(folder, manifest, card)
    try:
        calibration = told.calibration()
    except ValueError as error:
        raise ArtifactCorrupt(manifest.reference, CALIBRATION, str(error)) from None
    adapter = unpack(tensors, tuple(card.labels), dict(card.weights), calibration)
    known = f"{told.kind.value}+{manifest.files[CALIBRATION].sha256[:12]}"
    return Component(manifest.reference, manifest.hash, card, adapter, known)


def load_report(folder: Path) -> tuple[CalibrationCard, HeldOut]:
    """Verify a folder and return what its confidence means and how good it was, held out.

    Raises:
        ArtifactError: a checksum differs, or the component was made before reports were.
    """
    manifest = verify(folder)
    if REPORT not in manifest.files:
        raise ArtifactError(
            f"{manifest.reference} was trained before reports were and holds no {REPORT}; measure it on "
            "examples that it never saw: `trimtab mapper report COMPONENT --examples FILE`"
        )
    return load_calibration(folder), _read(folder / REPORT, HeldOut, manifest)


def load_calibration(folder: Path) -> CalibrationCard:
    """Verify a folder and return what its confidence means; raises ArtifactError when a checksum differs."""
    return _read(folder / CALIBRATION, CalibrationCard, verify(folder))


def save_component(
    folder: Path,
    reference: str,
    adapter: Adapter,
    card: AdapterCard,
    calibration: CalibrationCard,
    report: HeldOut | None = None,
) -> Manifest:
    """Write the files and the manifest of a component; the same bytes for the same numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    contents: dict[str, msgspec.Struct | None] = {CARD: card, CALIBRATION: calibration}
    for name, content in (contents | {REPORT: report}).items():
        if content is not None:
            encoded = msgspec.json.encode(content, order="deterministic")
            (folder / name).write_bytes(msgspec.json.format(encoded, indent=2) + b"\n")
    (folder / HEAD).write_bytes(save(pack(adapter)))
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


def _tensors(folder: Path, manifest: Manifest, card: AdapterCard) -> Tensors:
    try:
        tensors: Tensors = load((folder / HEAD).read_bytes())
    except (OSError, SafetensorError) as error:
        raise ArtifactCorrupt(
            manifest.reference, HEAD, f"cannot be read ({type(error).__name__})"
        ) from None
    problem = misfit(tensors, card.weights, card.dimension, card.buckets, len(card.labels))
    if problem:
        raise ArtifactCorrupt(manifest.reference, HEAD, problem)
    return tensors
