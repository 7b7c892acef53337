"""A language model as a mapper component: which model, asked how, and what its confidence means.

``engine.json`` is the card, ``calibration.json`` may say what its probabilities are worth, ``adapter/``
may hold a LoRA adapter (``adapter_config.json``, ``adapter_model.safetensors``); all of it verified by
checksum before it is read, and never changed under one version.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from services.mapper.model.calibration import IDENTITY, Calibration
from services.mapper.model.component import CALIBRATION, KIND, CalibrationCard
from trimtab.artifacts.manifest import (
    ArtifactCorrupt,
    Manifest,
    verify,
    write_manifest,
)
from trimtab.contracts.component import ComponentRef

CARD = "engine.json"
LORA = "adapter"
LORA_FILES = ("adapter_config.json", "adapter_model.safetensors")

Kind = Literal["openai", "vllm"]


class EngineCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What to ask, and how."""

    kind: Kind
    """``openai``: any server of that interface. ``vllm``: one that also takes adapters at run time."""
    model: Annotated[str, Meta(min_length=1, max_length=200)]
    """Model name at the server; with a LoRA adapter the base model that it was trained for."""
    candidates: ComponentRef
    """The component of engine 1 that retrieves the labels to choose from."""
    count: Annotated[int, Meta(ge=2, le=64)] = 8
    """How many of them; ``OTHER.Unknown`` comes on top."""
    instruction: Annotated[str, Meta(max_length=4000)] = ""
    """A sentence before the task, for example what a text is."""
    max_tokens: Annotated[int, Meta(ge=8, le=1024)] = 64
    """Longest answer."""
    timeout_ms: Annotated[int, Meta(ge=50, le=60_000)] = 1500
    """Most that both rounds of a request may take, unless ``mapper.model_timeout_ms`` is set."""
    endpoint: Annotated[str, Meta(pattern=r"^[a-z0-9-]{0,40}$")] = ""
    """Which server of ``MAPPER_ENDPOINTS``; empty takes the one called like the kind."""

    @property
    def server(self) -> str:
        """Name of the server in the settings."""
        return self.endpoint or self.kind


@dataclass(frozen=True, slots=True)
class EngineFiles:
    """A verified component folder of a language model."""

    folder: Path
    """Where it lies; its name holds the hash of its content."""
    manifest: Manifest
    """Name, version, checksums."""
    card: EngineCard
    """What to ask, and how."""
    calibration: Calibration
    """From the answer's probability to the confidence that it is right."""

    @property
    def lora(self) -> str:
        """Name of its adapter at the server; empty without one.

        Version and content: what was ever loaded under a name stays what that name means, and a cache
        that is keyed by it is never stale.
        """
        if f"{LORA}/{LORA_FILES[0]}" not in self.manifest.files:
            return ""
        return f"{self.manifest.reference}-{self.manifest.hash[:12]}"


def is_engine(folder: Path) -> bool:
    """Tell whether a component folder holds a language model's card."""
    return (folder / CARD).is_file()


def load_engine(folder: Path) -> EngineFiles:
    """Verify a folder and read it.

    Raises:
        ArtifactError: a checksum differs, a file is missing or of an unsafe kind, or does not parse.
    """
    manifest = verify(folder)
    card = _card(folder, manifest)
    files = EngineFiles(folder, manifest, card, _calibration(folder, manifest))
    if files.lora and card.kind != "vllm":
        raise ArtifactCorrupt(manifest.reference, LORA, "needs kind vllm, no other server takes it")
    missing = [name for name in LORA_FILES if f"{LORA}/{name}" not in manifest.files]
    if files.lora and missing:
        raise ArtifactCorrupt(manifest.reference, LORA, f"lacks {', '.join(missing)}")
    return files


def save_engine(
    folder: Path, reference: str, card: EngineCard, calibration: CalibrationCard | None = None
) -> Manifest:
    """Write card, calibration and manifest; an adapter is put into ``folder/adapter`` before."""
    folder.mkdir(parents=True, exist_ok=True)
    contents: dict[str, msgspec.Struct | None] = {CARD: card, CALIBRATION: calibration}
    for name, content in contents.items():
        if content is not None:
            encoded = msgspec.json.encode(content, order="deterministic")
            (folder / name).write_bytes(msgspec.json.format(encoded, indent=2) + b"\n")
    name, _, version = reference.partition("@")
    return write_manifest(folder, name=name, version=version, kind=KIND)


def _card(folder: Path, manifest: Manifest) -> EngineCard:
    try:
        return msgspec.json.decode((folder / CARD).read_bytes(), type=EngineCard)
    except (OSError, msgspec.DecodeError) as error:
        raise ArtifactCorrupt(manifest.reference, CARD, f"does not parse: {error}") from None


def _calibration(folder: Path, manifest: Manifest) -> Calibration:
    if CALIBRATION not in manifest.files:
        return IDENTITY
    try:
        told = msgspec.json.decode((folder / CALIBRATION).read_bytes(), type=CalibrationCard)
        return told.calibration()
    except (OSError, ValueError) as error:  # msgspec's errors are ValueErrors too
        raise ArtifactCorrupt(manifest.reference, CALIBRATION, str(error)) from None
