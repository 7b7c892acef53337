"""One size's vectors, queries and exact answers, as files that every contender's process reads."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss as _typed_faiss
import numpy as np
from numpy.typing import NDArray

from benchmarks import retriever_data as data
from benchmarks.search_sizes import Size
from benchmarks.search_tuning import KEPT

faiss: Any = _typed_faiss

QUERIES = 1000
"""Held out: from the clusters of the passages, but none of them."""

_CHUNK = 100_000


@dataclass(frozen=True, slots=True)
class Sample:
    """What is searched, what is asked, what is right."""

    size: Size
    """How much."""
    vectors: Path
    """A (passages, dimension) f32 .npy file of unit rows."""
    queries: Path
    """The same of the queries."""
    made: data.Synthetic
    """Queries, their words and token vectors; ``vectors`` is mapped from the file."""
    truth: list[frozenset[int]]
    """The ten nearest passages of each query."""

    @property
    def tuning(self) -> list[int]:
        """Numbers of the queries that knobs are tuned with."""
        return list(range(0, QUERIES, 2))

    @property
    def measured(self) -> list[int]:
        """Numbers of the queries that are measured."""
        return list(range(1, QUERIES, 2))

    def truth_of(self, numbers: list[int]) -> list[frozenset[int]]:
        """Return the exact answers of some queries."""
        return [self.truth[number] for number in numbers]


async def prepare(folder: Path, size: Size, seed: int) -> Sample:
    """Make the sample and keep it below ``folder``; what stands there from an earlier run is taken."""
    return await asyncio.to_thread(_prepare, folder, size, seed)


def _prepare(folder: Path, size: Size, seed: int) -> Sample:
    made = data.make(size.passages, QUERIES, seed, size.dimension)
    vectors, queries, truth = (folder / f"{name}.npy" for name in ("vectors", "queries", "truth"))
    if not truth.exists():
        np.save(vectors, made.vectors)
        np.save(queries, made.queries)
        np.save(truth, exact(made.queries, made.vectors))
    mapped = data.Synthetic(
        np.load(vectors, mmap_mode="r"), made.queries, made.questions, made.query_tokens
    )
    rows = np.load(truth)
    return Sample(size, vectors, queries, mapped, [frozenset(row) for row in rows.tolist()])


def exact(queries: NDArray[np.float32], vectors: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the rows of the ten nearest vectors of each query: (queries, 10)."""
    best = np.empty((len(queries), 0), dtype=np.float32)
    rows = np.empty((len(queries), 0), dtype=np.int64)
    for start in range(0, len(vectors), _CHUNK):
        part = np.ascontiguousarray(vectors[start : start + _CHUNK])
        near, at = faiss.knn(queries, part, KEPT, faiss.METRIC_INNER_PRODUCT)
        best, rows = np.hstack([best, near]), np.hstack([rows, at + start])
        order = np.argsort(-best, axis=1, kind="stable")[:, :KEPT]
        best = np.take_along_axis(best, order, axis=1)
        rows = np.take_along_axis(rows, order, axis=1)
    return rows
