"""From a plan to an index of the kind it names: trained and empty, or read from a file."""

from collections.abc import Callable, Mapping
from pathlib import Path

from services.retriever.dense.hnsw import new_hnsw, read_hnsw
from services.retriever.dense.index import DenseIndex, Vectors
from services.retriever.dense.ivf import read_ivf, train_ivf
from services.retriever.dense.ivf_pq import read_ivf_pq, train_ivf_pq
from services.retriever.plan import IndexPlan

IVF_SAMPLE_PER_LIST = 128
"""Training vectors per IVF list; faiss itself would use at most 256."""

_SAMPLE_PER_CODE = 64
"""Training vectors per centroid of a codebook."""


def sample_size(plan: IndexPlan, nlist: int) -> int:
    """Return how many vectors are worth training on; 0 for a kind that learns nothing."""
    if plan.kind in ("flat", "hnsw"):
        return 0
    wanted = nlist * IVF_SAMPLE_PER_LIST
    if plan.kind == "ivf_pq":
        wanted = max(wanted, (1 << plan.pq.bits) * _SAMPLE_PER_CODE)
    return wanted


def train(plan: IndexPlan, dimension: int, sample: Vectors, nlist: int) -> DenseIndex:
    """Return an empty index of the plan's kind, ready to be filled.

    Raises:
        Uncodable: the plan's codes do not fit the vectors.
    """
    match plan.kind:
        case "ivf_pq":
            return train_ivf_pq(
                sample,
                nlist,
                restarts=plan.restarts,
                parts=plan.pq.parts,
                bits=plan.pq.bits,
                rotated=plan.pq.rotated,
            )
        case "hnsw":
            return _new_hnsw(plan, dimension)
        case "ivf":
            return train_ivf(sample, nlist, restarts=plan.restarts)
        case "flat":
            raise ValueError("FLAT is the vectors themselves, nothing is trained")


def read(plan: IndexPlan, path: Path, dimension: int, entries: int) -> DenseIndex:
    """Load an index of the plan's kind: ``entries`` vectors of ``dimension``.

    Only a file whose checksum was verified may come here.

    Raises:
        UnreadableIndex: faiss refuses it, or it is of another kind, dimension, metric or size.
    """
    if plan.kind == "hnsw":
        return read_hnsw(path, dimension, entries, effort=plan.hnsw.effort)
    return _READERS[plan.kind](path, dimension, entries)


def _new_hnsw(plan: IndexPlan, dimension: int) -> DenseIndex:
    shape = plan.hnsw
    return new_hnsw(dimension, neighbours=shape.neighbours, care=shape.care, effort=shape.effort)


_READERS: Mapping[str, Callable[[Path, int, int], DenseIndex]] = {
    "ivf": read_ivf,
    "ivf_pq": read_ivf_pq,
}
