"""IVF-Flat: vectors in lists around centroids that k-means found; a search visits the nearest lists."""

from pathlib import Path
from typing import Any

import numpy as np

from services.retriever.dense.flat import (
    SEED,
    UnreadableIndex,
    faiss,
    found_in,
    nothing,
    read_file,
)
from services.retriever.dense.index import ROUNDING, Kind, Nearest, Slots, Vectors
from services.retriever.passages.visibility import VisibleSet


class IvfLists:
    """IVF-Flat over some vectors: fast, approximate, trained once, changed in place after that."""

    def __init__(self, lists: Any) -> None:
        """``lists`` comes from :func:`train_ivf` or :func:`read_ivf`."""
        self._lists = lists

    @property
    def native(self) -> Any:
        """The faiss index, to be cloned; only this object may change it."""
        return self._lists

    @property
    def kind(self) -> Kind:
        """``ivf``."""
        return "ivf"

    @property
    def dimension(self) -> int:
        """Of its vectors."""
        return int(self._lists.d)

    @property
    def entries(self) -> int:
        """Vectors that it holds."""
        return int(self._lists.ntotal)

    @property
    def dead(self) -> int:
        """None: what is removed leaves its list."""
        return 0

    @property
    def nlist(self) -> int:
        """Lists."""
        return int(self._lists.nlist)

    @property
    def imbalance(self) -> float:
        """How uneven the lists are: 1 when all are equally long."""
        return float(self._lists.invlists.imbalance_factor())

    @property
    def cosine_error(self) -> float:
        """Rounding: another order of the same additions."""
        return ROUNDING

    @property
    def certain(self) -> bool:
        """True: a vector lies in the list that is visited first when it is searched for."""
        return True

    def lengths(self) -> list[int]:
        """Return the number of vectors in each list."""
        held = self._lists.invlists
        return [int(held.list_size(number)) for number in range(self.nlist)]

    def held(self, number: int) -> Vectors | None:
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
            return nothing()
        nprobe = min(nprobe, self.nlist)
        while True:
            found = found_in(self._answer(query, wanted, visible, nprobe), nprobe)
            if len(found.slots) >= wanted or nprobe == self.nlist:
                return found
            nprobe = min(4 * nprobe, self.nlist)

    def write(self, path: Path) -> None:
        """Write them to ``path``, for :func:`read_ivf`."""
        faiss.write_index(self._lists, str(path))

    def _answer(
        self, query: Vectors, wanted: int, visible: VisibleSet, nprobe: int
    ) -> tuple[Vectors, Slots]:
        found: tuple[Vectors, Slots] = self._lists.search(
            query.reshape(1, -1), wanted, params=self._parameters(visible, nprobe)
        )
        return found

    def _parameters(self, visible: VisibleSet, nprobe: int) -> Any:
        if visible.everything:
            return faiss.SearchParametersIVF(nprobe=nprobe)
        return faiss.SearchParametersIVF(nprobe=nprobe, sel=faiss.IDSelectorBitmap(visible.bitmap))


def train_ivf(sample: Vectors, nlist: int, *, restarts: int = 1) -> IvfLists:
    """Return empty lists trained on ``sample``, for :meth:`IvfLists.extend`.

    Deterministic: the k-means seed is fixed. Of ``restarts`` runs of k-means the best one is kept. Takes
    seconds to minutes: never in the search thread.
    """
    dimension = sample.shape[1]
    lists = faiss.IndexIVFFlat(
        faiss.IndexFlatIP(dimension), dimension, nlist, faiss.METRIC_INNER_PRODUCT
    )
    lists.cp.seed = SEED
    lists.cp.nredo = restarts
    lists.cp.min_points_per_centroid = 1  # else faiss prints a warning below 39 per list
    lists.train(sample)
    lists.set_direct_map_type(faiss.DirectMap.Hashtable)  # makes removal cost O(1), not O(N)
    return IvfLists(lists)


def read_ivf(path: Path, dimension: int, entries: int) -> IvfLists:
    """Load what :meth:`IvfLists.write` wrote: ``entries`` vectors of ``dimension``.

    Only a file whose checksum was verified may come here.

    Raises:
        UnreadableIndex: faiss refuses it, or it is of another kind, dimension, metric or size.
    """
    index = read_file(path)
    if not isinstance(index, faiss.IndexIVFFlat):
        raise UnreadableIndex("not an IVF-Flat index")
    if (index.d, index.metric_type, index.ntotal) != (
        dimension,
        faiss.METRIC_INNER_PRODUCT,
        entries,
    ):
        raise UnreadableIndex("dimension, metric or number of vectors differ")
    return IvfLists(index)
