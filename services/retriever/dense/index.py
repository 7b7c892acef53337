"""What every kind of dense index promises, so that editions, snapshots and upkeep need not know which one it is.

A dense index holds vectors by slot and finds the nearest of those that may be seen. FLAT beside it is the
truth: an index may miss some of the nearest, and must never invent one or let an invisible one out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from services.retriever.passages.visibility import VisibleSet

Vectors = NDArray[np.float32]
Slots = NDArray[np.int64]

Kind = Literal["flat", "ivf", "ivf_pq", "hnsw"]
"""``flat`` answers exactly; the others visit a part of the collection."""


ROUNDING = 1e-3
"""How far an inner product of unit f32 vectors may be from another order of the same additions, amply."""


class Uncodable(Exception):
    """Vectors cannot be cut into that many parts, or are too few for that many centroids."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """The nearest slots of a query, nearest first."""

    slots: Slots
    """(n,) slots."""
    cosines: Vectors
    """(n,) inner products, which are cosines since all vectors have unit length."""
    visited: int = 0
    """Lists that were visited; 0 for an index without lists."""


class DenseIndex(Protocol):
    """Vectors by slot, searched approximately. Used from one thread at a time."""

    @property
    def kind(self) -> Kind:
        """Which one it is."""

    @property
    def dimension(self) -> int:
        """Of its vectors."""

    @property
    def entries(self) -> int:
        """Vectors that a search can find: those replaced or removed are none."""

    @property
    def dead(self) -> int:
        """Vectors replaced or removed that still take room; many of them are a reason to build it anew."""

    @property
    def nlist(self) -> int:
        """IVF lists; 0 for a kind without lists."""

    @property
    def imbalance(self) -> float:
        """How uneven the lists are: 1 when all are equally long; 0 for a kind without lists."""

    @property
    def cosine_error(self) -> float:
        """How far the cosine of a result may be from the true one.

        Rounding for a kind that keeps the vectors; more for one that keeps codes, whose results are
        scored again from the true vectors.
        """

    @property
    def certain(self) -> bool:
        """Whether a vector that it holds always finds itself; a graph may miss one in a hundred."""

    def lengths(self) -> list[int]:
        """Return the number of vectors in each list; empty for a kind without lists."""

    def held(self, number: int) -> Vectors | None:
        """Return a copy of the vectors in one list, (n, dimension) f32; None when it keeps no copies."""

    def extend(self, vectors: Vectors, slots: Slots) -> None:
        """Add vectors of unit length at ``slots`` that it does not hold yet."""

    def replace(self, vectors: Vectors, slots: Slots) -> None:
        """Put vectors at n distinct ``slots``, known or new."""

    def remove(self, slots: Slots) -> None:
        """Forget what it holds at ``slots``; those that it does not hold change nothing."""

    def search(self, query: Vectors, limit: int, visible: "VisibleSet", nprobe: int) -> Nearest:
        """Return about the ``limit`` nearest visible slots of a unit query vector, never fewer than there are.

        ``nprobe`` says how hard to look: lists visited, and what corresponds to it in a kind without
        lists. A greater one never finds less.
        """

    def write(self, path: Path) -> None:
        """Write everything to one file, for the reader of its kind."""


def nearest(
    index: DenseIndex,
    vectors_at: Callable[[Slots], Vectors],
    query: Vectors,
    limit: int,
    visible: "VisibleSet",
    nprobe: int,
    refine: int,
) -> Nearest:
    """Return what an index finds, by true cosines whatever its kind.

    ``vectors_at`` returns the true vectors of slots: of a kind that estimates, ``refine`` times as many as
    wanted are scored by them.
    """
    if index.cosine_error <= ROUNDING:
        return index.search(query, limit, visible, nprobe)
    found = index.search(query, refine * limit, visible, nprobe)
    cosines = vectors_at(found.slots) @ query
    order = np.argsort(-cosines, kind="stable")[:limit]
    return Nearest(found.slots[order], cosines[order], found.visited)
