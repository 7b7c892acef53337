"""HNSW: a graph of near vectors that a search walks (Malkov and Yashunin, 2018). Quick, large, slow to change.

A graph cannot forget: what is replaced or removed stays in it as a tombstone that is stepped over and never
comes out, until upkeep builds the graph anew. A passage costs tens of times as much to add as to IVF lists.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.retriever.dense.flat import (
    UnreadableIndex,
    faiss,
    found_in,
    nothing,
    read_file,
)
from services.retriever.dense.index import ROUNDING, Kind, Nearest, Slots, Vectors
from services.retriever.passages.visibility import VisibleSet

USUAL_NPROBE = 8
"""The nprobe at which a search keeps ``effort`` nodes in view: half of it keeps half as many."""

_TOMBSTONE = -1
_ALL_SLOTS = 1 << 62


class HnswGraph:
    """A graph over some vectors: fast and near to exact, deletions marked and not made."""

    def __init__(self, graph: Any, effort: int) -> None:
        """``graph`` comes from :func:`new_hnsw` or :func:`read_hnsw`; ``effort`` is its efSearch."""
        self._graph = graph
        self._effort = effort
        self._places: NDArray[np.int64] = np.full(1024, _TOMBSTONE, dtype=np.int64)
        self._dead = 0
        self._note_places(0)

    @property
    def kind(self) -> Kind:
        """``hnsw``."""
        return "hnsw"

    @property
    def dimension(self) -> int:
        """Of its vectors."""
        return int(self._graph.d)

    @property
    def entries(self) -> int:
        """Vectors that a search can find."""
        return int(self._graph.ntotal) - self._dead

    @property
    def dead(self) -> int:
        """Tombstones."""
        return self._dead

    @property
    def nlist(self) -> int:
        """None."""
        return 0

    @property
    def imbalance(self) -> float:
        """None."""
        return 0.0

    @property
    def cosine_error(self) -> float:
        """Rounding: the graph keeps the vectors."""
        return ROUNDING

    @property
    def certain(self) -> bool:
        """False: a walk may end before it reaches a vector."""
        return False

    def lengths(self) -> list[int]:
        """None."""
        return []

    def held(self, number: int) -> Vectors | None:
        """None: it has no lists."""
        return None

    def extend(self, vectors: Vectors, slots: Slots) -> None:
        """Add vectors at ``slots`` that it does not hold yet."""
        before = int(self._graph.ntotal)
        self._graph.add_with_ids(np.ascontiguousarray(vectors), slots)
        self._note_places(before)

    def replace(self, vectors: Vectors, slots: Slots) -> None:
        """Put vectors at ``slots``, known or new."""
        if len(slots):
            self.remove(slots)
            self.extend(vectors, slots)

    def remove(self, slots: Slots) -> None:
        """Bury what it holds at ``slots``."""
        known = slots[slots < len(self._places)]
        known = known[self._places[known] != _TOMBSTONE]
        if len(known):
            self._names()[self._places[known]] = _TOMBSTONE
            self._places[known] = _TOMBSTONE
            self._dead += len(known)

    def search(self, query: Vectors, limit: int, visible: VisibleSet, nprobe: int) -> Nearest:
        """Return the ``limit`` nearest visible slots that a walk reaches.

        The walk is widened when it reaches too few visible ones; what it cannot reach at all is looked for
        among all vectors.
        """
        wanted = min(limit, visible.count)
        if wanted == 0:
            return nothing()
        row = query.reshape(1, -1)
        selector = self._selector(visible)
        effort = max(wanted, math.ceil(self._effort * nprobe / USUAL_NPROBE))
        while effort < self._graph.ntotal:
            parameters = faiss.SearchParametersHNSW(efSearch=effort, sel=selector)
            found = found_in(self._graph.search(row, wanted, params=parameters))
            if len(found.slots) >= wanted:
                return found
            effort *= 4
        return self._every_vector(row, wanted, selector)

    def write(self, path: Path) -> None:
        """Write the graph, tombstones and all, to ``path``, for :func:`read_hnsw`."""
        faiss.write_index(self._graph, str(path))

    def _selector(self, visible: VisibleSet) -> Any:
        """Return what lets only visible slots out; no bitmap holds a tombstone's number."""
        if not visible.everything:
            return faiss.IDSelectorBitmap(visible.bitmap)
        return faiss.IDSelectorRange(0, _ALL_SLOTS) if self._dead else None

    def _every_vector(self, row: Vectors, wanted: int, selector: Any) -> Nearest:
        stored = faiss.downcast_index(faiss.downcast_index(self._graph.index).storage)
        allowed = selector or faiss.IDSelectorRange(0, _ALL_SLOTS)
        parameters = faiss.SearchParameters(
            sel=faiss.IDSelectorTranslated(self._graph.id_map, allowed)
        )
        found = found_in(stored.search(row, min(wanted, self.entries), params=parameters))
        return Nearest(self._names()[found.slots], found.cosines)

    def _names(self) -> NDArray[np.int64]:
        """Return the slot of each vector in the graph: a view on faiss's memory, made anew each time."""
        total = int(self._graph.ntotal)
        if not total:
            return np.empty(0, dtype=np.int64)
        names: NDArray[np.int64] = faiss.rev_swig_ptr(self._graph.id_map.data(), total)
        return names

    def _note_places(self, start: int) -> None:
        names = self._names()[start:]
        living = np.flatnonzero(names != _TOMBSTONE)
        self._dead += len(names) - len(living)
        if not len(living):
            return
        most = int(names.max()) + 1
        if most > len(self._places):
            grown = np.full(max(most, 2 * len(self._places)), _TOMBSTONE, dtype=np.int64)
            grown[: len(self._places)] = self._places
            self._places = grown
        self._places[names[living]] = start + living


def new_hnsw(dimension: int, *, neighbours: int, care: int, effort: int) -> HnswGraph:
    """Return an empty graph; it learns nothing from a sample.

    Args:
        dimension: of the vectors.
        neighbours: edges per vector, M; twice as many on the lowest level.
        care: nodes in view while a vector is put in, efConstruction.
        effort: nodes in view while one is searched for, efSearch.
    """
    graph = faiss.IndexHNSWFlat(dimension, neighbours, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = care
    return HnswGraph(faiss.IndexIDMap(graph), effort)


def read_hnsw(path: Path, dimension: int, entries: int, *, effort: int) -> HnswGraph:
    """Load what :meth:`HnswGraph.write` wrote: ``entries`` living vectors of ``dimension``.

    Raises:
        UnreadableIndex: faiss refuses it, or it is of another kind, dimension, metric or size.
    """
    graph = read_file(path)
    if not isinstance(graph, faiss.IndexIDMap) or not isinstance(
        faiss.downcast_index(graph.index), faiss.IndexHNSWFlat
    ):
        raise UnreadableIndex("not an HNSW graph")
    if (graph.d, graph.metric_type) != (dimension, faiss.METRIC_INNER_PRODUCT):
        raise UnreadableIndex("dimension or metric differ")
    read = HnswGraph(graph, effort)
    if read.entries != entries:
        raise UnreadableIndex("the number of vectors differs")
    return read
