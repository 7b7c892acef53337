"""The retriever's own dense index without service and bus: the code that it searches with, called directly."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.engines.engine import Vectors
from services.retriever.dense import kinds
from services.retriever.dense.flat import FlatVectors, use_one_thread
from services.retriever.dense.index import DenseIndex
from services.retriever.passages.visibility import VisibleSet
from services.retriever.plan import SHIPPED, load_plan, nlist_for
from services.retriever.settings import RetrieverSettings

_INDEX, _FACTS, _FLAT = "index.faiss", "facts.json", "flat.npy"
_CHUNK = 8192
_SEED = 7


class Index:
    """What the shipped component says: FLAT for few passages, else its kind; one search thread, as in the service."""

    knob = "nprobe"
    least = 1

    def __init__(self) -> None:
        reference = RetrieverSettings.model_fields["component"].default
        self._plan = load_plan(SHIPPED / reference)[0]
        self.setup = ""
        self.most = 1
        self._index: DenseIndex = FlatVectors(1)
        self._everything = VisibleSet(0, True, np.empty(0, dtype=np.uint8))

    def build(self, vectors: Vectors, folder: Path) -> None:
        """Train and fill on one thread, as the service's build thread does."""
        use_one_thread()
        count, dimension = vectors.shape
        (folder / _FACTS).write_text(json.dumps({"count": count, "dimension": dimension}))
        if count < self._plan.dense.flat_below:
            np.save(folder / _FLAT, vectors)
            return
        nlist = nlist_for(count, self._plan.dense.nlist_per_sqrt)
        wanted = kinds.sample_size(self._plan.index, nlist)
        picked = np.sort(np.random.default_rng(_SEED).permutation(count)[:wanted])
        sample = np.ascontiguousarray(vectors[picked])
        index = kinds.train(self._plan.index, dimension, sample, nlist)
        for start in range(0, count, _CHUNK):
            part = np.ascontiguousarray(vectors[start : start + _CHUNK])
            index.extend(part, np.arange(start, start + len(part), dtype=np.int64))
        index.write(folder / _INDEX)

    def open(self, folder: Path, threads: int) -> None:
        """Read the index; there is one search thread whatever ``threads`` says."""
        use_one_thread()
        facts = json.loads((folder / _FACTS).read_text())
        count, dimension = int(facts["count"]), int(facts["dimension"])
        self._everything = VisibleSet(count, True, np.empty(0, dtype=np.uint8))
        if (folder / _FLAT).exists():
            flat = FlatVectors(dimension)
            flat.put(np.arange(count, dtype=np.int64), np.load(folder / _FLAT))
            self._index = flat
        else:
            self._index = kinds.read(self._plan.index, folder / _INDEX, dimension, count)
        self.most = max(1, self._index.nlist)
        lists = f", {self._index.nlist} lists" if self._index.nlist else ""
        self.setup = f"{self._index.kind}{lists}, one search thread"

    def search(self, query: Vectors, limit: int, effort: int) -> Sequence[int]:
        """Search as an edition does for a tenant who may see everything."""
        slots = self._index.search(query, limit, self._everything, effort).slots
        found: list[int] = slots.tolist()
        return found
