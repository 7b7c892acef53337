"""``sparse.json``: what a component of learned sparse vectors promises about them."""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from trimtab.artifacts.manifest import ArtifactCorrupt
from trimtab.contracts.sparse import SparseSpace

SPEC = "sparse.json"
KIND = "sparse-encoder"
"""Of its manifest."""


class SparseSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which space the vectors live in and what makes them."""

    space: SparseSpace
    """Name, vocabulary and its size; the tokenizer is checked against it."""
    max_tokens: Annotated[int, Meta(ge=3, le=8192)]
    """Token budget of one text, special tokens included; what is longer is cut."""
    model: str
    """Model file, ONNX."""
    tokenizer: str
    """Tokenizer file."""


def write_spec(spec: SparseSpec, folder: Path) -> None:
    """Write ``sparse.json``, the same bytes for the same spec."""
    encoded = msgspec.json.format(msgspec.json.encode(spec, order="deterministic"), indent=2)
    (folder / SPEC).write_bytes(encoded + b"\n")


def read_spec(folder: Path) -> SparseSpec:
    """Read ``sparse.json`` of a verified component.

    Raises:
        ArtifactCorrupt: it is missing or does not parse.
    """
    try:
        return msgspec.json.decode((folder / SPEC).read_bytes(), type=SparseSpec)
    except (OSError, msgspec.DecodeError) as error:
        problem = f"cannot be read ({type(error).__name__})"
        raise ArtifactCorrupt(folder.name, SPEC, problem) from None
