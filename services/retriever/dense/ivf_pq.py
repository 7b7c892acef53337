"""IVF-PQ: lists as IVF-Flat has them, of codes of some dozen bytes instead of vectors, after a rotation if wanted.

A code is the number of the nearest of 2^bits centroids in each part of the vector (Jegou, Douze and Schmid,
2011); the rotation makes the parts equally hard to code (OPQ; Ge, He, Ke and Sun, 2013). The cosines of its
results are estimates: whoever searches scores them again from the true vectors.
"""

from pathlib import Path
from typing import Any

import numpy as np

from services.retriever.dense.flat import SEED, UnreadableIndex, faiss, read_file
from services.retriever.dense.index import Kind, Slots, Uncodable, Vectors
from services.retriever.dense.ivf import IvfLists
from services.retriever.passages.visibility import VisibleSet

_ESTIMATE = 0.5
"""How far an estimate may be off: of a code of a vector with itself it is 0.05 to 0.2, of another's about 0.7."""

_TABLES = 1 << 30
"""Bytes that faiss may reckon with for tables of lists times codebooks; it makes them for L2 only, not for us."""


class IvfCodes(IvfLists):
    """IVF lists of product codes, behind a rotation or not."""

    def __init__(self, whole: Any) -> None:
        """``whole`` comes from :func:`train_ivf_pq` or :func:`read_ivf_pq`."""
        super().__init__(faiss.downcast_index(faiss.extract_index_ivf(whole)))
        self._whole = whole
        self._rotated = isinstance(whole, faiss.IndexPreTransform)

    @property
    def kind(self) -> Kind:
        """``ivf_pq``."""
        return "ivf_pq"

    @property
    def cosine_error(self) -> float:
        """That of the codes."""
        return _ESTIMATE

    @property
    def certain(self) -> bool:
        """False: another vector's code may look nearer than its own."""
        return False

    def held(self, number: int) -> Vectors | None:
        """None: there are codes in the lists, not vectors."""
        return None

    def extend(self, vectors: Vectors, slots: Slots) -> None:
        """Add vectors at ``slots`` that it does not hold yet."""
        self._whole.add_with_ids(np.ascontiguousarray(vectors), slots)

    def remove(self, slots: Slots) -> None:
        """Forget what it holds at ``slots``."""
        if len(slots):
            self._whole.remove_ids(faiss.IDSelectorArray(np.ascontiguousarray(slots)))

    def write(self, path: Path) -> None:
        """Write rotation, codebooks and lists to ``path``, for :func:`read_ivf_pq`."""
        faiss.write_index(self._whole, str(path))

    def _answer(
        self, query: Vectors, wanted: int, visible: VisibleSet, nprobe: int
    ) -> tuple[Vectors, Slots]:
        parameters = self._parameters(visible, nprobe)
        if self._rotated:
            parameters = faiss.SearchParametersPreTransform(index_params=parameters)
        found: tuple[Vectors, Slots] = self._whole.search(
            query.reshape(1, -1), wanted, params=parameters
        )
        return found


def train_ivf_pq(
    sample: Vectors, nlist: int, *, restarts: int, parts: int, bits: int, rotated: bool
) -> IvfCodes:
    """Return empty lists of codes trained on ``sample``.

    Deterministic, as :func:`ivf.train_ivf` is; takes several times as long.

    Raises:
        Uncodable: the dimension is no multiple of ``parts``, or the sample is smaller than a codebook.
    """
    dimension = sample.shape[1]
    if dimension % parts:
        raise Uncodable(f"{dimension} dimensions cannot be cut into {parts} equal parts")
    if len(sample) < 1 << bits:
        raise Uncodable(f"{len(sample)} vectors are too few for codebooks of {1 << bits}")
    lists = faiss.IndexIVFPQ(
        faiss.IndexFlatIP(dimension), dimension, nlist, parts, bits, faiss.METRIC_INNER_PRODUCT
    )
    lists.cp.seed, lists.pq.cp.seed = SEED, SEED
    lists.cp.nredo = restarts
    lists.cp.min_points_per_centroid = lists.pq.cp.min_points_per_centroid = 1
    if rotated:
        whole = _trained_behind_rotation(lists, sample)
    else:
        whole = lists
        whole.train(sample)
    lists.set_direct_map_type(faiss.DirectMap.Hashtable)
    return IvfCodes(whole)


def _trained_behind_rotation(lists: Any, sample: Vectors) -> Any:
    coder = faiss.ProductQuantizer(lists.d, lists.pq.M, lists.pq.nbits)
    coder.cp.seed, coder.cp.min_points_per_centroid = SEED, 1
    rotation = faiss.OPQMatrix(lists.d, lists.pq.M)
    rotation.pq = coder  # else it makes one that prints a warning below 39 vectors per centroid
    whole = faiss.IndexPreTransform(rotation, lists)
    whole.train(sample)
    rotation.pq = None  # used to train it, and freed with this function
    return whole


def read_ivf_pq(path: Path, dimension: int, entries: int) -> IvfCodes:
    """Load what :meth:`IvfCodes.write` wrote: ``entries`` vectors of ``dimension``.

    Raises:
        UnreadableIndex: faiss refuses it, or it is of another kind, dimension, metric or size.
    """
    whole = read_file(path, _TABLES)
    inner = whole
    if isinstance(whole, faiss.IndexPreTransform):
        inner = faiss.downcast_index(whole.index)
    if not isinstance(inner, faiss.IndexIVFPQ):
        raise UnreadableIndex("not an IVF-PQ index")
    if (whole.d, inner.metric_type, whole.ntotal) != (
        dimension,
        faiss.METRIC_INNER_PRODUCT,
        entries,
    ):
        raise UnreadableIndex("dimension, metric or number of vectors differ")
    return IvfCodes(whole)
