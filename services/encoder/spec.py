"""``encoder.json``: what an encoder component promises about its vectors."""

import re
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from trimtab.artifacts.manifest import ArtifactCorrupt

SPEC = "encoder.json"

MINILM = "single_vector.minilm.384.v1"
"""Namespace of all-MiniLM-L6-v2: mean pooled, unit length, 384 dimensions."""

_NAMESPACE = re.compile(r"^single_vector\.[a-z0-9_-]+\.(?P<dimension>[0-9]+)\.v[0-9]+$")


class EncoderSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which space the vectors live in, how they are made, and what they accept."""

    namespace: str
    """Vector space, ``single_vector.<model>.<dimension>.v<n>``."""
    dimension: Annotated[int, Meta(ge=1, le=16384)]
    """Numbers per vector; proved against the model at start."""
    max_tokens: Annotated[int, Meta(ge=3)]
    """Token budget of one text, special tokens included."""
    profile: str
    """How the vectors are computed; an index is built and queried with one profile."""
    engine: Literal["onnx", "openvino"]
    """What runs the model file."""
    model: str
    """Model file."""
    tokenizer: str
    """Tokenizer file."""
    token_basis: str
    """File with the projection of token vectors."""


def write_spec(spec: EncoderSpec, folder: Path) -> None:
    """Write ``encoder.json``, the same bytes for the same spec."""
    encoded = msgspec.json.format(msgspec.json.encode(spec, order="deterministic"), indent=2)
    (folder / SPEC).write_bytes(encoded + b"\n")


def read_spec(folder: Path) -> EncoderSpec:
    """Read ``encoder.json`` of a verified component.

    Raises:
        ArtifactCorrupt: it is missing, does not parse, or contradicts its own namespace.
    """
    try:
        spec = msgspec.json.decode((folder / SPEC).read_bytes(), type=EncoderSpec)
    except (OSError, msgspec.DecodeError) as error:
        raise ArtifactCorrupt(
            folder.name, SPEC, f"cannot be read ({type(error).__name__})"
        ) from None
    if namespace_dimension(spec.namespace) != spec.dimension:
        raise ArtifactCorrupt(folder.name, SPEC, "states another dimension than its namespace")
    return spec


def namespace_dimension(namespace: str) -> int | None:
    """Return the dimension that a namespace's name states; None when the name is not of the form."""
    match = _NAMESPACE.match(namespace)
    return int(match["dimension"]) if match else None
