"""Golden queries: stored vectors whose answers are written down when an index is saved.

They are asked again before a loaded index may serve, and catch what a checksum cannot: right bytes that
are read, or answered, otherwise than when they were written.
"""

from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from services.retriever.dense.index import DenseIndex, Slots, Vectors
from services.retriever.passages.visibility import VisibleSet

QUERIES = 16
"""Stored vectors that are asked."""

_DEPTH = 10
_TOLERANCE = 1e-4
"""How far a cosine may differ between machines: another order of the same additions."""


class GoldenQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One question and its answer."""

    vector: Annotated[list[float], Meta(min_length=1)]
    """Unit vector."""
    slots: list[int]
    """The nearest slots."""
    cosines: list[float]
    """Their cosines, descending."""


class GoldenSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The golden queries of one index."""

    nprobe: Annotated[int, Meta(ge=1)]
    """How hard it looked."""
    queries: list[GoldenQuery]
    """Empty only for an index without passages."""


def record(index: DenseIndex, vectors: Vectors, nprobe: int) -> GoldenSet:
    """Ask ``vectors`` and write the answers down."""
    queries = []
    for vector in vectors:
        found = index.search(vector, _DEPTH, _everything(index), nprobe)
        queries.append(GoldenQuery(vector.tolist(), found.slots.tolist(), found.cosines.tolist()))
    return GoldenSet(nprobe=nprobe, queries=queries)


def spread(slots: Slots) -> Slots:
    """Return up to 16 of ``slots``, evenly spread."""
    at = np.unique(np.linspace(0, max(len(slots) - 1, 0), QUERIES).astype(np.int64))
    return slots[at] if len(slots) else slots


def passes(index: DenseIndex, golden: GoldenSet) -> bool:
    """Return whether the index gives every answer again; equally near passages may change places."""
    return all(_agrees(index, query, golden.nprobe) for query in golden.queries)


def finds_itself(index: DenseIndex, vectors: Vectors, nprobe: int) -> bool:
    """Return whether vectors that it holds find one at cosine 1: for an index that was just built."""
    missed = sum(not _finds(index, vector, nprobe) for vector in vectors)
    return missed <= (0 if index.certain else len(vectors) // 8)


def _finds(index: DenseIndex, vector: Vectors, nprobe: int) -> bool:
    found = index.search(vector, 1, _everything(index), nprobe)
    return bool(len(found.slots)) and abs(float(found.cosines[0]) - 1.0) <= index.cosine_error


def _agrees(index: DenseIndex, query: GoldenQuery, nprobe: int) -> bool:
    vector: Vectors = np.array(query.vector, dtype=np.float32)
    if vector.shape != (index.dimension,):
        return False
    found = index.search(vector, len(query.slots), _everything(index), nprobe)
    expected = np.array(query.cosines, dtype=np.float32)
    if found.cosines.shape != expected.shape:
        return False
    if np.any(np.abs(found.cosines - expected) > _TOLERANCE):
        return False
    moved = found.slots != np.array(query.slots)
    gaps = np.abs(np.diff(expected))
    tied = np.r_[gaps, np.inf] <= _TOLERANCE
    tied |= np.r_[np.inf, gaps] <= _TOLERANCE
    tied[-1:] = True  # the last place may be shared with passages beyond the list
    return not np.any(moved & ~tied)


def _everything(index: DenseIndex) -> VisibleSet:
    return VisibleSet(index.entries, True, np.zeros(1, dtype=np.uint8))
