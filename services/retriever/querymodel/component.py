"""A query model on disk: ``model.json``, ``model.safetensors`` and ``golden.json``, of which each is checked.

The network that serves is the network that was trained: the same class, and before it serves it must give
the golden answers again, so that right bytes answered otherwise are refused.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, TypeVar

import msgspec
import numpy as np
from msgspec import Meta
from safetensors import SafetensorError
from safetensors.numpy import load, save

from services.retriever.querymodel.amn import Amn, AmnSize
from services.retriever.querymodel.gru import Gru, GruSize
from services.retriever.querymodel.layers import Parameters
from services.retriever.querymodel.model import WINDOW, Vectors, unit
from trimtab.artifacts.manifest import ArtifactCorrupt, Manifest, verify, write_manifest

CARD, WEIGHTS, GOLDEN = "model.json", "model.safetensors", "golden.json"
KIND = "query-model"

T = TypeVar("T")

Size: TypeAlias = AmnSize | GruSize
Network: TypeAlias = Amn | Gru

_QUESTIONS = 4
_TOLERANCE = 1e-5
"""How far a component of a unit vector may differ between machines: another order of the same additions."""


class ModelCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the weights were trained for."""

    namespace: str
    """Space of the vectors, read and made."""
    encoder: str
    """Encoder component that made them."""
    window: Literal[5]
    """Vectors that it reads."""
    size: Size
    """Architecture and widths; ``type`` is ``amn_v0`` or ``gru_v0``."""
    training: dict[str, float | int | str]
    """How it was trained and how that went."""


class GoldenAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One window and the vector that it gives."""

    window: Annotated[list[list[float]], Meta(min_length=1)]
    """Unit rows, oldest first."""
    vector: list[float]
    """Of unit length."""


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A loaded query model."""

    reference: str
    """``name@version``."""
    content_hash: str
    """sha256 of its manifest."""
    card: ModelCard
    """What it is for."""
    network: Network
    """Its weights."""

    @property
    def least(self) -> int:
        """Vectors that it needs."""
        return self.card.window

    def fits(self, namespace: str, dimension: int) -> bool:
        """Return whether it was trained in that space."""
        return (namespace, dimension) == (self.card.namespace, self.card.size.dimension)

    def vector(self, window: Vectors) -> Vectors:
        """Return the unit vector for the last vectors of a window."""
        return answer(self.network, window[-self.card.window :])


def answer(network: Network, window: Vectors) -> Vectors:
    """Return the network's unit vector (dimension,) for one window (n, dimension)."""
    raw, _ = network.forward(window[np.newaxis])
    return unit(raw[0].astype(np.float32))


def load_model(folder: Path) -> TrainedModel:
    """Verify a folder, load it, and ask its golden questions.

    Raises:
        ArtifactError: a checksum differs, a file is missing or of an unsafe kind, the parts do not fit each
            other, or this code answers otherwise than the code that trained it.
    """
    manifest = verify(folder)
    if manifest.kind != KIND:
        raise ArtifactCorrupt(manifest.reference, "manifest.json", f"is of a {manifest.kind}")
    card = _read(folder, manifest, CARD, ModelCard)
    golden = _read(folder, manifest, GOLDEN, list[GoldenAnswer])
    model = TrainedModel(
        manifest.reference, manifest.hash, card, card.size.network(_weights(folder, manifest, card))
    )
    if len(golden) < _QUESTIONS or not all(_agrees(model, each) for each in golden):
        raise ArtifactCorrupt(
            manifest.reference, GOLDEN, "is answered otherwise by this code than when it was made"
        )
    return model


def save_model(folder: Path, reference: str, card: ModelCard, network: Network) -> Manifest:
    """Write the files and the manifest of a query model; the same bytes for the same numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: np.ascontiguousarray(each) for name, each in network.parameters.items()}
    (folder / CARD).write_bytes(_pretty(card))
    (folder / WEIGHTS).write_bytes(save(tensors))
    golden = [
        GoldenAnswer(window.tolist(), answer(network, window).tolist())
        for window in _windows(card.size.dimension)
    ]
    (folder / GOLDEN).write_bytes(msgspec.json.encode(golden) + b"\n")
    name, _, version = reference.partition("@")
    metadata: dict[str, str | int | float | bool] = {"namespace": card.namespace}
    return write_manifest(folder, name=name, version=version, kind=KIND, metadata=metadata)


def _weights(folder: Path, manifest: Manifest, card: ModelCard) -> Parameters:
    try:
        tensors = load((folder / WEIGHTS).read_bytes())
    except (OSError, SafetensorError) as error:
        why = f"cannot be read ({type(error).__name__})"
        raise ArtifactCorrupt(manifest.reference, WEIGHTS, why) from None
    found = {name: (each.shape, each.dtype.name) for name, each in tensors.items()}
    expected = {name: (each.shape, "float32") for name, each in card.size.weights().items()}
    if found != expected:
        why = f"does not hold the weights of {card.size}"
        raise ArtifactCorrupt(manifest.reference, WEIGHTS, why)
    if not all(np.isfinite(each).all() for each in tensors.values()):
        raise ArtifactCorrupt(manifest.reference, WEIGHTS, "holds a number that is not finite")
    return dict(tensors)


def _agrees(model: TrainedModel, golden: GoldenAnswer) -> bool:
    size = model.card.size
    if {len(row) for row in (*golden.window, golden.vector)} != {size.dimension}:
        return False
    if len(golden.window) != model.card.window:
        return False
    vector = model.vector(np.array(golden.window, dtype=np.float32))
    expected = np.array(golden.vector, dtype=np.float32)
    return bool(np.all(np.abs(vector - expected) <= _TOLERANCE))  # False for NaN too


def _windows(dimension: int) -> Vectors:
    """Return windows of unit vectors near each other, as paragraphs of one article are: nobody's data."""
    rng = np.random.default_rng(dimension)
    topics = rng.standard_normal((_QUESTIONS, 1, dimension))
    return unit((topics + rng.standard_normal((_QUESTIONS, WINDOW, dimension))).astype(np.float32))


def _read(folder: Path, manifest: Manifest, name: str, kind: type[T]) -> T:
    try:
        return msgspec.json.decode((folder / name).read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError) as error:
        raise ArtifactCorrupt(manifest.reference, name, f"does not parse: {error}") from None


def _pretty(card: ModelCard) -> bytes:
    return msgspec.json.format(msgspec.json.encode(card, order="deterministic"), indent=2) + b"\n"
