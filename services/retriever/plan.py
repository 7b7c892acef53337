"""The component this service serves: how candidates are found and fused, as a file with a checksum."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from trimtab.artifacts.manifest import ArtifactCorrupt, Manifest, verify
from trimtab.contracts.retrieve import EVERY_LIST

FILE = "retriever.json"

SHIPPED = Path(__file__).parent / "components"
"""Components that come with the code, by reference."""


class DensePlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How vectors are searched."""

    flat_below: Annotated[int, Meta(ge=1)]
    """Passages from which an IVF index is built; below it IVF only costs quality."""
    nlist_per_sqrt: Annotated[float, Meta(gt=0, le=16)]
    """IVF lists = this times the square root of the passages."""
    nprobe: Annotated[int, Meta(ge=1, le=EVERY_LIST)]
    """Lists visited unless the request says otherwise."""


class LexicalPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """BM25's two constants (Robertson and Zaragoza, 2009)."""

    k1: Annotated[float, Meta(ge=0, le=10)]
    """Saturation of a repeated term."""
    b: Annotated[float, Meta(ge=0, le=1)]
    """How much long passages are discounted."""


class FusionPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the two lists become one."""

    method: Literal["blend", "rrf"]
    """``blend``: cosine + lexical_weight * bm25 / max bm25; ``rrf``: reciprocal ranks."""
    lexical_weight: Annotated[float, Meta(ge=0, le=10)]
    """For ``blend``."""
    rrf_k: Annotated[float, Meta(gt=0, le=1000)]
    """For ``rrf``."""
    depth: Annotated[int, Meta(ge=1, le=1000)]
    """Candidates taken from each list, or the request's limit when that is more."""


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that decides which candidates come out."""

    dense: DensePlan
    """Vectors."""
    lexical: LexicalPlan
    """Words."""
    fusion: FusionPlan
    """Both."""
    low_cosine: Annotated[float, Meta(ge=-1, le=1)]
    """A best cosine below it is counted as the bad event ``low_cosine``."""


def load_plan(folder: Path) -> tuple[Plan, Manifest]:
    """Verify a component folder and return its plan.

    Raises:
        ArtifactError: a checksum differs, a file is missing or the plan does not fit.
    """
    manifest = verify(folder)
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=Plan), manifest
    except (OSError, msgspec.DecodeError) as error:
        raise ArtifactCorrupt(manifest.reference, FILE, f"does not parse: {error}") from None
