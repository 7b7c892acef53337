"""A reranker component: ``reranker.json`` says what the network expects, ``weights.safetensors`` holds it.

Written by the trainer, verified by checksum before it is read, refused when its parts do not fit each
other or the formulas of this code.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from services.reranker.calibration import Curve
from services.reranker.features import FeatureSetName, maxsim, names, session
from services.reranker.model import Mlp, relevance
from trimtab.artifacts.manifest import (
    ArtifactCorrupt,
    Manifest,
    verify,
    write_manifest,
)

CARD = "reranker.json"
WEIGHTS = "weights.safetensors"
KIND = "reranker"

SHIPPED = Path(__file__).parent / "components"
"""Components that come with the code, by reference."""


class ModelCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the weights were trained for."""

    feature_set: FeatureSetName
    """Which features, by the name that this code declares."""
    features: Annotated[list[str], Meta(min_length=1)]
    """Their names in column order; must be those of this code."""
    means: list[float]
    """Subtracted from each feature."""
    scales: list[Annotated[float, Meta(gt=0)]]
    """Each feature is divided by it afterwards."""
    hidden: Annotated[int, Meta(ge=1, le=4096)]
    """Hidden units."""
    training: dict[str, float | int | str]
    """What it was trained on and how it went."""
    calibration: Curve | None = None
    """Makes relevance of its logits; None takes each logit for itself."""


@dataclass(frozen=True, slots=True)
class Component:
    """A loaded reranker."""

    reference: str
    """``name@version``."""
    content_hash: str
    """sha256 of its manifest."""
    card: ModelCard
    """What it expects."""
    network: Mlp
    """Its weights."""

    def relevance(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (n,) relevance 0..1 of the (n,) logits of one query's candidates."""
        curve = self.card.calibration
        return relevance(logits) if curve is None else curve.relevance(logits)

    @property
    def wants_maxsim(self) -> bool:
        """Whether MaxSim is among its features; it works without, less well."""
        return maxsim.__name__ in self.card.features

    @property
    def wants_session(self) -> bool:
        """Whether what the caller asked before is among its features; it works without, less well."""
        return session.__name__ in self.card.features


def load_component(folder: Path) -> Component:
    """Verify a folder and load it.

    Raises:
        ArtifactError: a checksum differs, a file is missing or of an unsafe kind, or the parts do not
            fit each other or this code's features.
    """
    manifest = verify(folder)
    try:
        card = msgspec.json.decode((folder / CARD).read_bytes(), type=ModelCard)
    except (OSError, msgspec.DecodeError) as error:
        raise ArtifactCorrupt(manifest.reference, CARD, f"does not parse: {error}") from None
    if tuple(card.features) != names(card.feature_set):
        raise ArtifactCorrupt(
            manifest.reference, CARD, f"names other features than {card.feature_set!r} has here"
        )
    return Component(manifest.reference, manifest.hash, card, _network(folder, manifest, card))


def save_component(
    folder: Path,
    reference: str,
    feature_set: FeatureSetName,
    network: Mlp,
    training: dict[str, float | int | str],
    calibration: Curve | None = None,
) -> Manifest:
    """Write the files and the manifest of a component; the same bytes for the same numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    card = ModelCard(
        feature_set=feature_set,
        features=list(names(feature_set)),
        means=network.means.tolist(),
        scales=network.scales.tolist(),
        hidden=len(network.w2),
        training=training,
        calibration=calibration,
    )
    encoded = msgspec.json.format(msgspec.json.encode(card, order="deterministic"), indent=2)
    (folder / CARD).write_bytes(encoded + b"\n")
    tensors = {name: getattr(network, name) for name in _shapes(card)}
    (folder / WEIGHTS).write_bytes(save(tensors))
    name, _, version = reference.partition("@")
    metadata: dict[str, str | int | float | bool] = {"feature_set": feature_set}
    return write_manifest(folder, name=name, version=version, kind=KIND, metadata=metadata)


def _network(folder: Path, manifest: Manifest, card: ModelCard) -> Mlp:
    try:
        tensors: dict[str, NDArray[np.generic]] = load((folder / WEIGHTS).read_bytes())
    except (OSError, SafetensorError) as error:
        raise ArtifactCorrupt(
            manifest.reference, WEIGHTS, f"cannot be read ({type(error).__name__})"
        ) from None
    found = {name: (tensor.shape, tensor.dtype.name) for name, tensor in tensors.items()}
    expected = {name: (shape, "float32") for name, shape in _shapes(card).items()}
    if found != expected:
        raise ArtifactCorrupt(manifest.reference, WEIGHTS, f"does not hold {expected}")
    if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
        raise ArtifactCorrupt(manifest.reference, WEIGHTS, "holds a number that is not finite")
    rows = {"means": card.means, "scales": card.scales}
    if any(len(row) != len(card.features) for row in rows.values()):
        raise ArtifactCorrupt(manifest.reference, CARD, "must give each feature a mean and a scale")
    arrays = {name: np.array(row, dtype=np.float32) for name, row in rows.items()}
    return Mlp(**arrays, **{name: tensors[name].astype(np.float32) for name in expected})


def _shapes(card: ModelCard) -> dict[str, tuple[int, ...]]:
    inputs, hidden = len(card.features), card.hidden
    return {"w1": (inputs, hidden), "b1": (hidden,), "w2": (hidden,), "b2": ()}
