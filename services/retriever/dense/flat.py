"""FLAT, the exact inner product over all vectors of a collection; and faiss, for every module that needs it.

The only module that imports faiss: how it is typed, seeded, kept in one thread and made to read files under
limits is decided here once. Slots are row numbers of the FLAT matrix; whoever searches passes the set of
slots that may come out, and nothing else can.
"""

from pathlib import Path
from typing import Any

import faiss as _typed_faiss
import numpy as np

from services.retriever.dense.index import ROUNDING, Kind, Nearest, Slots, Vectors
from services.retriever.passages.visibility import VisibleSet
from trimtab.contracts.retrieve import EVERY_LIST

faiss: Any = _typed_faiss
"""The wheel's type stubs describe the C++ signatures, not the Python wrappers used here."""

SEED = 20_261_120
"""Of everything random in the making of an index: the same vectors give the same index."""

_LOOP_LIMIT = 1 << 24
"""Longest loop a file may ask of faiss while it is read: more lists than any index of ours has."""


class UnreadableIndex(Exception):
    """A file is not an index that faiss can read within the limits."""


def use_one_thread() -> None:
    """Keep faiss in the calling thread: OpenMP's limit is per thread, so each one calls this."""
    faiss.omp_set_num_threads(1)


class FlatVectors:
    """Every vector of one collection by slot: the exact search, and the truth of every other index.

    Used from one thread.
    """

    def __init__(self, dimension: int) -> None:
        self._flat = faiss.IndexFlatIP(dimension)
        self._removed: set[int] = set()

    @property
    def kind(self) -> Kind:
        """``flat``."""
        return "flat"

    @property
    def dimension(self) -> int:
        """Of its vectors."""
        return int(self._flat.d)

    @property
    def entries(self) -> int:
        """Vectors that are not removed."""
        return self.size - self.dead

    @property
    def dead(self) -> int:
        """Slots of removed vectors; the next passages take them."""
        return len(self._removed)

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
        """Rounding."""
        return ROUNDING

    @property
    def certain(self) -> bool:
        """True: it looks at every vector."""
        return True

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
        self._removed.update(range(self.size - max(missing, 0), self.size))
        self._removed.difference_update(slots.tolist())
        self._matrix()[slots] = vectors

    def extend(self, vectors: Vectors, slots: Slots) -> None:
        """Add ``vectors`` at ``slots``."""
        self.put(slots, vectors)

    def replace(self, vectors: Vectors, slots: Slots) -> None:
        """Put ``vectors`` at ``slots``, known or new."""
        self.put(slots, vectors)

    def lengths(self) -> list[int]:
        """None."""
        return []

    def held(self, number: int) -> Vectors | None:
        """None: it has no lists."""
        return None

    def remove(self, slots: Slots) -> None:
        """Forget the vectors at ``slots``; the caller's visible sets must not hold them any more."""
        known = slots[slots < self.size]
        self._removed.update(known.tolist())
        self._matrix()[known] = 0.0

    def vectors(self, slots: Slots) -> Vectors:
        """Return a copy of the vectors at ``slots``: (n, dimension) f32."""
        gathered: Vectors = self._matrix()[slots]
        return gathered

    def search(
        self,
        query: Vectors,
        limit: int,
        visible: VisibleSet,
        nprobe: int = EVERY_LIST,
    ) -> Nearest:
        """Return the true ``limit`` nearest visible slots: the measure of every other index."""
        wanted = min(limit, visible.count)
        if wanted == 0:
            return nothing()
        if visible.everything:
            return found_in(self._flat.search(query.reshape(1, -1), wanted))
        if visible.few:
            return self._among(query, visible.slots(), wanted)
        selector = faiss.IDSelectorBitmap(visible.bitmap)
        parameters = faiss.SearchParameters(sel=selector)
        return found_in(self._flat.search(query.reshape(1, -1), wanted, params=parameters))

    def write(self, path: Path) -> None:
        """Write all slots to ``path``; nothing reads it back, for the store holds the same vectors."""
        faiss.write_index(self._flat, str(path))

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


def read_file(path: Path, room: int = 0) -> Any:
    """Read an index file under limits: no array longer than the file and ``room`` bytes, no absurd loop.

    Only a file whose checksum was verified may come here: faiss notices no flipped bit.

    Raises:
        UnreadableIndex: faiss refuses it.
    """
    faiss.set_deserialization_vector_byte_limit(path.stat().st_size + room)
    faiss.set_deserialization_loop_limit(_LOOP_LIMIT)
    try:
        return faiss.read_index(str(path))
    except RuntimeError as error:
        raise UnreadableIndex("faiss refuses the file") from error


def nothing() -> Nearest:
    """Return no slots."""
    return Nearest(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))


def found_in(result: tuple[Vectors, Slots], visited: int = 0) -> Nearest:
    """Return the one answer of a faiss search over ``visited`` lists, without the places that it left empty."""
    cosines, slots = result[0][0], result[1][0]
    real = slots >= 0
    return Nearest(slots[real], cosines[real], visited)
