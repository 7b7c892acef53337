"""The two dense indexes: exact inner product over all vectors (FLAT), and IVF-Flat lists over the same ones.

The only module that imports faiss. Slots are row numbers of the FLAT matrix and ids in the IVF lists;
whoever searches passes the set of slots that may come out, and nothing else can.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss as _typed_faiss
import numpy as np
from numpy.typing import NDArray

from services.retriever.visibility import VisibleSet

faiss: Any = _typed_faiss
"""The wheel's type stubs describe the C++ signatures, not the Python wrappers used here."""

Vectors = NDArray[np.float32]
Slots = NDArray[np.int64]

_SEED = 20_261_120
_LOOP_LIMIT = 1 << 24
"""Longest loop a file may ask of faiss while it is read: more lists than any index of ours has."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """The nearest slots of a query, nearest first."""

    slots: Slots
    """(n,) slots."""
    cosines: Vectors
    """(n,) inner products, which are cosines since all vectors have unit length."""


class UnreadableIndex(Exception):
    """A file is not an index that faiss can read within the limits."""


def use_one_thread() -> None:
    """Keep faiss in the calling thread: OpenMP's limit is per thread, so each one calls this."""
    faiss.omp_set_num_threads(1)


def nlist_for(passages: int, per_sqrt: float = 1.0) -> int:
    """Return how many IVF lists a collection of that size gets: about the square root."""
    return max(1, round(per_sqrt * math.sqrt(passages)))


class FlatVectors:
    """Every vector of one collection by slot: the exact search, and the truth of every other index.

    Used from one thread.
    """

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self._flat = faiss.IndexFlatIP(dimension)

    @property
    def size(self) -> int:
        """Slots, those of removed passages included."""
        return int(self._flat.ntotal)

    def put(self, slots: Slots, vectors: Vectors) -> None:
        """Add or replace: ``vectors`` (n, dimension) f32 of unit length at n distinct ``slots``."""
        if not len(slots):
            return
        missing = int(slots.max()) + 1 - self.size
        if missing > 0:
            self._flat.add(np.zeros((missing, self.dimension), dtype=np.float32))
        self._matrix()[slots] = vectors

    def remove(self, slots: Slots) -> None:
        """Forget the vectors at ``slots``; the caller's visible sets must not hold them any more."""
        self._matrix()[slots] = 0.0

    def vectors(self, slots: Slots) -> Vectors:
        """Return a copy of the vectors at ``slots``: (n, dimension) f32."""
        gathered: Vectors = self._matrix()[slots]
        return gathered

    def search(self, query: Vectors, limit: int, visible: VisibleSet) -> Nearest:
        """Return the true ``limit`` nearest visible slots: the measure of every other index."""
        wanted = min(limit, visible.count)
        if wanted == 0:
            return _nothing()
        if visible.everything:
            return _found(self._flat.search(query.reshape(1, -1), wanted))
        if visible.few:
            return self._among(query, visible.slots(), wanted)
        selector = faiss.IDSelectorBitmap(visible.bitmap)
        parameters = faiss.SearchParameters(sel=selector)
        return _found(self._flat.search(query.reshape(1, -1), wanted, params=parameters))

    def _matrix(self) -> Vectors:
        # A view on faiss's own memory; made anew each time, since adding may move it.
        if self.size == 0:
            return np.empty((0, self.dimension), dtype=np.float32)
        memory = faiss.rev_swig_ptr(self._flat.get_xb(), self.size * self.dimension)
        view: Vectors = memory.reshape(self.size, self.dimension)
        return view

    def _among(self, query: Vectors, slots: Slots, wanted: int) -> Nearest:
        cosines = np.empty(len(slots), dtype=np.float32)
        query = np.ascontiguousarray(query)
        pointers = map(faiss.swig_ptr, (query, cosines, slots))
        at_query, at_cosines, at_slots = pointers
        self._flat.compute_distance_subset(1, at_query, len(slots), at_cosines, at_slots)
        order = np.argsort(-cosines, kind="stable")[:wanted]
        return Nearest(slots[order], cosines[order])


class IvfLists:
    """IVF-Flat over some vectors: fast, approximate, trained once, changed in place after that."""

    def __init__(self, lists: Any) -> None:
        """``lists`` comes from :func:`train_ivf` or :func:`read_ivf`."""
        self._lists = lists

    @property
    def dimension(self) -> int:
        """Of its vectors."""
        return int(self._lists.d)

    @property
    def entries(self) -> int:
        """Vectors that it holds."""
        return int(self._lists.ntotal)

    @property
    def nlist(self) -> int:
        """Lists."""
        return int(self._lists.nlist)

    @property
    def imbalance(self) -> float:
        """How uneven the lists are: 1 when all are equally long."""
        return float(self._lists.invlists.imbalance_factor())

    def lengths(self) -> list[int]:
        """Return the number of vectors in each list."""
        held = self._lists.invlists
        return [int(held.list_size(number)) for number in range(self.nlist)]

    def held(self, number: int) -> Vectors:
        """Return a copy of the vectors in one list: (n, dimension) f32."""
        held = self._lists.invlists
        size = int(held.list_size(number))
        if not size:
            return np.empty((0, self.dimension), dtype=np.float32)
        codes = faiss.rev_swig_ptr(held.get_codes(number), size * int(held.code_size))
        vectors: Vectors = codes.view(np.float32).reshape(size, self.dimension).copy()
        return vectors

    def extend(self, vectors: Vectors, slots: Slots) -> None:
        """Add vectors at ``slots`` that it does not hold yet."""
        self._lists.add_with_ids(np.ascontiguousarray(vectors), slots)

    def replace(self, vectors: Vectors, slots: Slots) -> None:
        """Put vectors at ``slots``, known or new."""
        if len(slots):
            self.remove(slots)
            self.extend(vectors, slots)

    def remove(self, slots: Slots) -> None:
        """Forget what it holds at ``slots``."""
        if len(slots):
            self._lists.remove_ids(faiss.IDSelectorArray(np.ascontiguousarray(slots)))

    def search(self, query: Vectors, limit: int, visible: VisibleSet, nprobe: int) -> Nearest:
        """Return the ``limit`` nearest visible slots of ``nprobe`` lists.

        More lists are visited when these hold too few visible passages, so a filter can lower neither
        the number of results nor let anything else through.
        """
        wanted = min(limit, visible.count)
        if wanted == 0:
            return _nothing()
        nprobe = min(nprobe, self.nlist)
        while True:
            found = self._probe(query, wanted, visible, nprobe)
            if len(found.slots) >= wanted or nprobe == self.nlist:
                return found
            nprobe = min(4 * nprobe, self.nlist)

    def write(self, path: Path) -> None:
        """Write them to ``path``, for :func:`read_ivf`."""
        faiss.write_index(self._lists, str(path))

    def _probe(self, query: Vectors, wanted: int, visible: VisibleSet, nprobe: int) -> Nearest:
        if visible.everything:
            parameters = faiss.SearchParametersIVF(nprobe=nprobe)
        else:
            selector = faiss.IDSelectorBitmap(visible.bitmap)
            parameters = faiss.SearchParametersIVF(nprobe=nprobe, sel=selector)
        return _found(self._lists.search(query.reshape(1, -1), wanted, params=parameters))


def train_ivf(sample: Vectors, nlist: int) -> IvfLists:
    """Return empty lists trained on ``sample``, for :meth:`IvfLists.extend`.

    Deterministic: the k-means seed is fixed. Takes seconds to minutes: never in the search thread.
    """
    dimension = sample.shape[1]
    lists = faiss.IndexIVFFlat(
        faiss.IndexFlatIP(dimension), dimension, nlist, faiss.METRIC_INNER_PRODUCT
    )
    lists.cp.seed = _SEED
    lists.cp.min_points_per_centroid = 1  # else faiss prints a warning below 39 per list
    lists.train(sample)
    lists.set_direct_map_type(faiss.DirectMap.Hashtable)  # makes removal cost O(1), not O(N)
    return IvfLists(lists)


def read_ivf(path: Path, dimension: int, entries: int) -> IvfLists:
    """Load what :meth:`IvfLists.write` wrote: ``entries`` vectors of ``dimension``.

    Only a file whose checksum was verified may come here: faiss notices no flipped bit.

    Raises:
        UnreadableIndex: faiss refuses it, or it is of another kind, dimension, metric or size.
    """
    index = _read(path)
    if not isinstance(index, faiss.IndexIVFFlat):
        raise UnreadableIndex("not an IVF-Flat index")
    if (index.d, index.metric_type, index.ntotal) != (
        dimension,
        faiss.METRIC_INNER_PRODUCT,
        entries,
    ):
        raise UnreadableIndex("dimension, metric or number of vectors differ")
    return IvfLists(index)


def _read(path: Path) -> Any:
    """Read an index file under limits: no array longer than the file, no absurd loop."""
    faiss.set_deserialization_vector_byte_limit(path.stat().st_size)
    faiss.set_deserialization_loop_limit(_LOOP_LIMIT)
    try:
        return faiss.read_index(str(path))
    except RuntimeError as error:
        raise UnreadableIndex("faiss refuses the file") from error


def _nothing() -> Nearest:
    return Nearest(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))


def _found(result: tuple[Vectors, Slots]) -> Nearest:
    cosines, slots = result[0][0], result[1][0]
    real = slots >= 0
    return Nearest(slots[real], cosines[real])
