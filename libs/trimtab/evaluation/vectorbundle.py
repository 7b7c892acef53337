"""A collection's vectors and held-out queries as a folder under checksums: what an index is built of.

No texts: passages and queries are ids and vectors. Written by who fetched them from a running deployment,
read by the builder, and kept when the same index is to be built again.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from trimtab.artifacts.manifest import ArtifactCorrupt, verify, write_manifest
from trimtab.contracts.retrieve import CollectionName

CARD = "card.json"
VECTORS, QUERY_VECTORS = "vectors.npy", "queries.npy"
IDS, QUERIES = "ids.json", "queries.json"


class BundleCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the vectors are of."""

    collection: CollectionName
    """Whose."""
    index: str
    """Version they were read at: ``collection@sequence``."""
    namespace: str
    """Their space."""
    encoder: str
    """Encoder component of the collection's first passage."""


class HeldOut(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One query, without its text."""

    id: Annotated[str, Meta(min_length=1)]
    """Unique among the queries."""
    relevant: list[str] = []
    """Ids of the passages that answer it; empty when nobody said."""
    cluster: str = ""
    """What it belongs with."""


@dataclass(frozen=True, slots=True)
class VectorBundle:
    """What an index is built of."""

    card: BundleCard
    """What it is of."""
    ids: list[str]
    """Of each passage; empty where the reader may not see it."""
    vectors: NDArray[np.float32]
    """(passages, dimension), unit rows."""
    queries: list[HeldOut]
    """To measure with."""
    query_vectors: NDArray[np.float32]
    """(queries, dimension), unit rows."""


def write_bundle(folder: Path, bundle: VectorBundle) -> str:
    """Write the folder, which must not exist; return the sha256 of its manifest.

    Raises:
        FileExistsError: it exists already.
    """
    folder.mkdir(parents=True)
    (folder / CARD).write_bytes(msgspec.json.encode(bundle.card))
    (folder / IDS).write_bytes(msgspec.json.encode(bundle.ids))
    (folder / QUERIES).write_bytes(msgspec.json.encode(bundle.queries))
    np.save(folder / VECTORS, bundle.vectors)
    np.save(folder / QUERY_VECTORS, bundle.query_vectors)
    name, version = bundle.card.collection, bundle.card.index.partition("@")[2] or "0"
    return write_manifest(folder, name=name, version=version, kind="vectors").hash


def read_bundle(folder: Path) -> VectorBundle:
    """Return a verified bundle.

    Raises:
        ArtifactError: a checksum differs, a file is missing, or the parts do not fit each other.
    """
    manifest = verify(folder)
    try:
        bundle = VectorBundle(
            msgspec.json.decode((folder / CARD).read_bytes(), type=BundleCard),
            msgspec.json.decode((folder / IDS).read_bytes(), type=list[str]),
            np.load(folder / VECTORS),
            msgspec.json.decode((folder / QUERIES).read_bytes(), type=list[HeldOut]),
            np.load(folder / QUERY_VECTORS),
        )
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise ArtifactCorrupt(manifest.reference, CARD, f"does not parse: {error}") from None
    if not _fits(bundle):
        problem = "does not fit: one id per f32 row, one dimension for passages and queries"
        raise ArtifactCorrupt(manifest.reference, VECTORS, problem)
    return bundle


def _fits(bundle: VectorBundle) -> bool:
    one, other = bundle.vectors, bundle.query_vectors
    return (
        one.ndim == other.ndim == 2
        and one.dtype == other.dtype == np.float32
        and one.shape == (len(bundle.ids), other.shape[1])
        and len(other) == len(bundle.queries)
    )
