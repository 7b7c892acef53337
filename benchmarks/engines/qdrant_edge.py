"""qdrant-edge: Qdrant's shard inside the process, an HNSW graph over f32 vectors."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engines.engine import SAME_GRAPH, Vectors

_FOLDER, _DIMENSION = "shard", "dimension"
_CHUNK = 2000
_LEAST_KB = 1
"""Graphs are made of segments above it: of every one here."""

_ONE_SEGMENT_KB = 64 * 2**20
"""No limit that any size here meets: one segment is the fastest to search."""


class Index:
    """HNSW by inner product, in one segment once it is optimized."""

    knob = "ef"
    least = 16
    most = 8192

    def __init__(self) -> None:
        self._library: Any = importlib.import_module("qdrant_edge")
        self._shard: Any = None
        self.setup = ""

    def build(self, vectors: Vectors, folder: Path) -> None:
        """Upsert in chunks, then let the optimizer make the graph with every core."""
        path = folder / _FOLDER
        path.mkdir()
        (folder / _DIMENSION).write_text(str(vectors.shape[1]))
        shard = self._library.EdgeShard.create(str(path), self._config(vectors.shape[1], None))
        for start in range(0, len(vectors), _CHUNK):
            part = np.asarray(vectors[start : start + _CHUNK])
            points = [
                self._library.Point(start + at, row.tolist(), None) for at, row in enumerate(part)
            ]
            shard.update(self._library.UpdateOperation.upsert_points(points))
        shard.optimize()
        shard.flush()
        shard.close()

    def open(self, folder: Path, threads: int) -> None:
        """Load the shard with that many search threads."""
        dimension = int((folder / _DIMENSION).read_text())
        path = str(folder / _FOLDER)
        self._shard = self._library.EdgeShard.load(path, self._config(dimension, threads))
        info = self._shard.info()
        self.setup = (
            f"HNSW f32, m {SAME_GRAPH['m']}, ef_construction {SAME_GRAPH['ef_construction']}, "
            f"{info.segments_count} segments, {info.indexed_vectors_count:,} vectors in graphs"
        )

    def search(self, query: Vectors, limit: int, effort: int) -> Sequence[int]:
        """Search with ``effort`` open candidates."""
        request = self._library.SearchRequest(
            query=self._library.Query.Nearest(query.tolist()),
            limit=limit,
            params=self._library.SearchParams(hnsw_ef=effort),
        )
        return [int(point.id) for point in self._shard.search(request)]

    def _config(self, dimension: int, threads: int | None) -> object:
        library = self._library
        graph = library.HnswIndexConfig(
            m=SAME_GRAPH["m"],
            ef_construct=SAME_GRAPH["ef_construction"],
            full_scan_threshold=_LEAST_KB,
        )
        optimizers = library.EdgeOptimizersConfig(
            default_segment_number=1,
            max_segment_size=_ONE_SEGMENT_KB,
            indexing_threshold=_LEAST_KB,
        )
        return library.EdgeConfig(
            vectors=library.EdgeVectorParams(size=dimension, distance=library.Distance.Dot),
            hnsw_config=graph,
            optimizers=optimizers,
            max_search_threads=threads,
        )
