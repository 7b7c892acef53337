"""The dense half: exact inner product over all vectors (FLAT) and, for large collections, IVF-Flat beside it.

The only module that imports faiss. Slots are row numbers of the FLAT matrix and ids in the IVF index;
whoever searches passes the set of slots that may come out, and nothing else can.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import faiss as _typed_faiss
import numpy as np
from numpy.typing import NDArray

from services.retriever.visibility import VisibleSet

faiss: Any = _typed_faiss
"""The wheel's type stubs describe the C++ signatures, not the Python wrappers used here."""

Vectors = NDArray[np.float32]
Slots = NDArray[np.int64]
Kind = Literal["flat", "ivf"]

EXACT_BELOW = 10_000
"""Visible slots up to which a filtered search looks at each of them: 10,000 x 384 take about 1 ms."""

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


def train_ivf(sample: Vectors, nlist: int) -> Any:
    """Return an empty IVF-Flat index with ``nlist`` lists, trained on ``sample``, for :func:`extend_ivf`.

    Deterministic: the k-means seed is fixed. Takes seconds to minutes: never in the search thread.
    """
    dimension = sample.shape[1]
    ivf = faiss.IndexIVFFlat(
        faiss.IndexFlatIP(dimension), dimension, nlist, faiss.METRIC_INNER_PRODUCT
    )
    ivf.cp.seed = _SEED
    ivf.cp.min_points_per_centroid = 1  # else faiss prints a warning below 39 per list
    ivf.train(sample)
    ivf.set_direct_map_type(faiss.DirectMap.Hashtable)  # makes removal cost O(1), not O(N)
    return ivf


def extend_ivf(ivf: Any, vectors: Vectors, slots: Slots) -> None:
    """Add vectors under the ids ``slots``, which must not be in ``ivf`` yet."""
    ivf.add_with_ids(vectors, slots)


class DenseIndex:
    """The vectors of one collection; used from one thread."""

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self._flat = faiss.IndexFlatIP(dimension)
        self._ivf: Any = None

    @property
    def kind(self) -> Kind:
        """Which index answers searches."""
        return "flat" if self._ivf is None else "ivf"

    @property
    def size(self) -> int:
        """Slots, those of removed passages included."""
        return int(self._flat.ntotal)

    @property
    def entries(self) -> int:
        """Vectors in the index that answers."""
        return self.size if self._ivf is None else int(self._ivf.ntotal)

    @property
    def nlist(self) -> int:
        """IVF lists; 0 while FLAT answers."""
        return 0 if self._ivf is None else int(self._ivf.nlist)

    @property
    def imbalance(self) -> float:
        """How uneven the IVF lists are: 1 when all are equally long; 0 while FLAT answers."""
        return 0.0 if self._ivf is None else float(self._ivf.invlists.imbalance_factor())

    def put(self, slots: Slots, vectors: Vectors) -> None:
        """Add or replace: ``vectors`` (n, dimension) f32 of unit length at n distinct ``slots``."""
        if not len(slots):
            return
        known = slots[slots < self.size]
        missing = int(slots.max()) + 1 - self.size
        if missing > 0:
            self._flat.add(np.zeros((missing, self.dimension), dtype=np.float32))
        self._matrix()[slots] = vectors
        if self._ivf is not None:
            self._remove_from_ivf(known)
            self._ivf.add_with_ids(np.ascontiguousarray(vectors), slots)

    def remove(self, slots: Slots) -> None:
        """Forget the vectors at ``slots``; the caller's visible sets must not hold them any more."""
        self._matrix()[slots] = 0.0
        if self._ivf is not None:
            self._remove_from_ivf(slots)

    def vectors(self, slots: Slots) -> Vectors:
        """Return a copy of the vectors at ``slots``: (n, dimension) f32."""
        gathered: Vectors = self._matrix()[slots]
        return gathered

    def adopt(self, ivf: Any, changed: Slots) -> None:
        """Let ``ivf`` answer from now on, after catching up with the slots put since its training."""
        self._ivf = ivf
        self._remove_from_ivf(changed)
        if len(changed):
            self._ivf.add_with_ids(self.vectors(changed), changed)

    def search(self, query: Vectors, limit: int, visible: VisibleSet, nprobe: int) -> Nearest:
        """Return the ``limit`` nearest visible slots; fewer only when fewer are visible.

        IVF visits ``nprobe`` lists, and more when these hold too few visible passages, so a filter can
        lower neither the number of results nor let anything else through.
        """
        wanted = min(limit, visible.count)
        if wanted == 0:
            return _nothing()
        if self._ivf is None or (not visible.everything and visible.count <= EXACT_BELOW):
            return self.exact(query, limit, visible)
        nprobe = min(nprobe, self.nlist)
        while True:
            found = self._probe(query, wanted, visible, nprobe)
            if len(found.slots) >= wanted or nprobe == self.nlist:
                return found
            nprobe = min(4 * nprobe, self.nlist)

    def exact(self, query: Vectors, limit: int, visible: VisibleSet) -> Nearest:
        """Return the true ``limit`` nearest visible slots: the measure of every other index."""
        wanted = min(limit, visible.count)
        if wanted == 0:
            return _nothing()
        if visible.everything:
            return _found(self._flat.search(query.reshape(1, -1), wanted))
        if visible.count <= EXACT_BELOW:
            return self._among(query, visible.slots(), wanted)
        selector = faiss.IDSelectorBitmap(visible.bitmap)
        parameters = faiss.SearchParameters(sel=selector)
        return _found(self._flat.search(query.reshape(1, -1), wanted, params=parameters))

    def write(self, path: Path) -> None:
        """Write the index that answers searches to ``path``."""
        faiss.write_index(self._flat if self._ivf is None else self._ivf, str(path))

    @classmethod
    def read(
        cls, path: Path, dimension: int, vectors: int, stored: Callable[[], Vectors]
    ) -> "DenseIndex":
        """Load what :meth:`write` wrote.

        Only a file whose checksum was verified may come here: faiss notices no flipped bit.

        Args:
            path: the file.
            dimension: it must have.
            vectors: it must hold.
            stored: gives the stored vectors by slot, the FLAT truth beside an IVF index.

        Raises:
            UnreadableIndex: faiss refuses it, or it is not of this dimension, metric and size.
        """
        index = _read(path)
        shape = (index.d, index.metric_type, index.ntotal)
        if shape != (dimension, faiss.METRIC_INNER_PRODUCT, vectors):
            raise UnreadableIndex("dimension, metric or number of vectors differ")
        dense = cls(dimension)
        if isinstance(index, faiss.IndexIVFFlat):
            dense._flat.add(stored())
            dense._ivf = index
        elif isinstance(index, faiss.IndexFlatIP):
            dense._flat = index
        else:
            raise UnreadableIndex("neither FLAT nor IVF-Flat")
        return dense

    def _matrix(self) -> Vectors:
        # A view on faiss's own memory; made anew each time, since adding may move it.
        if self.size == 0:
            return np.empty((0, self.dimension), dtype=np.float32)
        memory = faiss.rev_swig_ptr(self._flat.get_xb(), self.size * self.dimension)
        view: Vectors = memory.reshape(self.size, self.dimension)
        return view

    def _probe(self, query: Vectors, wanted: int, visible: VisibleSet, nprobe: int) -> Nearest:
        if visible.everything:
            parameters = faiss.SearchParametersIVF(nprobe=nprobe)
        else:
            selector = faiss.IDSelectorBitmap(visible.bitmap)
            parameters = faiss.SearchParametersIVF(nprobe=nprobe, sel=selector)
        return _found(self._ivf.search(query.reshape(1, -1), wanted, params=parameters))

    def _among(self, query: Vectors, slots: Slots, wanted: int) -> Nearest:
        cosines = np.empty(len(slots), dtype=np.float32)
        query = np.ascontiguousarray(query)
        pointers = map(faiss.swig_ptr, (query, cosines, slots))
        at_query, at_cosines, at_slots = pointers
        self._flat.compute_distance_subset(1, at_query, len(slots), at_cosines, at_slots)
        order = np.argsort(-cosines, kind="stable")[:wanted]
        return Nearest(slots[order], cosines[order])

    def _remove_from_ivf(self, slots: Slots) -> None:
        if len(slots):
            self._ivf.remove_ids(faiss.IDSelectorArray(np.ascontiguousarray(slots)))


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
