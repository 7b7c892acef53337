"""faiss as anybody would use it: ``IVF{sqrt n},Flat`` with its own defaults."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import faiss as _typed_faiss
import numpy as np

from benchmarks.engines.engine import Vectors, lists_for

faiss: Any = _typed_faiss

_INDEX = "index.faiss"
_SAMPLE_PER_LIST = 256
"""faiss would take that many of a larger sample itself."""

_CHUNK = 65_536


class Index:
    """IVF-Flat by inner product."""

    knob = "nprobe"
    least = 1

    def __init__(self) -> None:
        self.setup = ""
        self.most = 1
        self._index: Any = None

    def build(self, vectors: Vectors, folder: Path) -> None:
        """Train on a random sample with all threads, then add in chunks."""
        count, dimension = vectors.shape
        nlist = lists_for(count)
        index = faiss.index_factory(dimension, f"IVF{nlist},Flat", faiss.METRIC_INNER_PRODUCT)
        picked = np.random.default_rng(0).permutation(count)[: nlist * _SAMPLE_PER_LIST]
        index.train(np.ascontiguousarray(vectors[np.sort(picked)]))
        for start in range(0, count, _CHUNK):
            index.add(np.ascontiguousarray(vectors[start : start + _CHUNK]))
        faiss.write_index(index, str(folder / _INDEX))

    def open(self, folder: Path, threads: int) -> None:
        """Read the index."""
        faiss.omp_set_num_threads(threads)
        self._index = faiss.read_index(str(folder / _INDEX))
        self.most = int(self._index.nlist)
        self.setup = f"IVF{self.most},Flat"

    def search(self, query: Vectors, limit: int, effort: int) -> Sequence[int]:
        """Search ``effort`` lists."""
        parameters = faiss.SearchParametersIVF(nprobe=effort)
        _, rows = self._index.search(query.reshape(1, -1), limit, params=parameters)
        found: list[int] = rows[0].tolist()
        return found
