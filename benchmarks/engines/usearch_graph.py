"""usearch: an HNSW graph over f32 vectors, kept in memory."""

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engines.engine import SAME_GRAPH, Vectors

_INDEX = "index.usearch"
_CHUNK = 65_536


class Index:
    """HNSW by inner product."""

    setup = f"HNSW f32, m {SAME_GRAPH['m']}, ef_construction {SAME_GRAPH['ef_construction']}"
    knob = "ef"
    least = 16
    most = 8192

    def __init__(self) -> None:
        self._library: Any = importlib.import_module("usearch.index")
        self._index: Any = None

    def build(self, vectors: Vectors, folder: Path) -> None:
        """Add in chunks with every core."""
        index = self._library.Index(
            ndim=vectors.shape[1],
            metric="ip",
            dtype="f32",
            connectivity=SAME_GRAPH["m"],
            expansion_add=SAME_GRAPH["ef_construction"],
        )
        threads = len(os.sched_getaffinity(0))
        for start in range(0, len(vectors), _CHUNK):
            part = np.ascontiguousarray(vectors[start : start + _CHUNK])
            index.add(np.arange(start, start + len(part), dtype=np.uint64), part, threads=threads)
        index.save(str(folder / _INDEX))

    def open(self, folder: Path, threads: int) -> None:
        """Load the graph into memory; one query is one thread's work, however many there are."""
        self._index = self._library.Index.restore(str(folder / _INDEX), view=False)

    def search(self, query: Vectors, limit: int, effort: int) -> Sequence[int]:
        """Search with ``effort`` open candidates."""
        if self._index.expansion_search != effort:
            self._index.expansion_search = effort
        found: list[int] = self._index.search(query, limit, threads=1).keys.tolist()
        return found
