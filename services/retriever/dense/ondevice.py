"""IVF lists with a clone on a device: the clone answers, what changed since it was made lies over it.

A clone cannot be changed in place, so slots that were changed or removed since are dropped from what it finds,
and the changed vectors are compared one by one; when many changed, a new clone is due. What the clone cannot
answer whole (a filter that leaves too little, more results or lists than a device takes) the lists themselves
answer, on the CPU.
"""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.retriever.dense.flat import faiss, found_in
from services.retriever.dense.index import DenseIndex, Kind, Nearest, Slots, Vectors
from services.retriever.dense.ivf import IvfLists
from services.retriever.dense.overlay import Overlay
from services.retriever.passages.visibility import VisibleSet

STALE_AT = 512
"""Slots changed since the clone was made from which a new one is due: comparing each of them costs 0.03 ms at 384 dimensions."""

_MOST = 2048
"""Results of one search, and lists visited, that faiss's GPU kernels take."""

_AMPLE = 1.5
"""Candidates asked for per visible one that is wanted, as the visible share of all passages says."""


@dataclass(frozen=True)
class Clone:
    """A copy of IVF lists that searches for itself."""

    index: Any
    """Of faiss; takes ``SearchParametersIVF``."""
    resources: Any = None
    """Memory and streams of the device; kept alive, and for this clone alone."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    """One search at a time: a resources object must not serve two."""

    def search(self, query: Vectors, limit: int, nprobe: int) -> Nearest:
        """Return at most ``limit`` nearest slots of ``nprobe`` lists; raises RuntimeError when the device fails."""
        parameters = faiss.SearchParametersIVF(nprobe=nprobe)
        with self.lock:
            return found_in(
                self.index.search(query.reshape(1, -1), limit, params=parameters), nprobe
            )


ToDevice = Callable[[Any], Clone]
"""Clones a trained ``faiss.IndexIVFFlat``; raises RuntimeError when the device cannot hold it."""


def on_host(index: DenseIndex) -> DenseIndex:
    """Return the lists behind a clone: what is saved, and asked the golden queries."""
    return index.lists if isinstance(index, OnDevice) else index


class OnDevice:
    """IVF lists and their clone. Changed and searched from one thread; :meth:`clone` may run in another."""

    def __init__(self, lists: IvfLists, to_device: ToDevice, failed: Callable[[str], None]) -> None:
        """``failed`` is told once why the CPU answers from then on: ``clone`` or ``search``."""
        self.lists = lists
        """On the CPU: complete, and what the clone is made of."""
        self._to_device = to_device
        self._failed = failed
        self._given_up = False
        self._clone: Clone | None = None
        self._overlay = Overlay(lists.dimension)

    @property
    def kind(self) -> Kind:
        """``ivf``."""
        return self.lists.kind

    @property
    def dimension(self) -> int:
        """Of its vectors."""
        return self.lists.dimension

    @property
    def entries(self) -> int:
        """Vectors that it holds."""
        return self.lists.entries

    @property
    def dead(self) -> int:
        """None."""
        return self.lists.dead

    @property
    def nlist(self) -> int:
        """Lists."""
        return self.lists.nlist

    @property
    def imbalance(self) -> float:
        """How uneven the lists are: 1 when all are equally long."""
        return self.lists.imbalance

    @property
    def cosine_error(self) -> float:
        """Rounding."""
        return self.lists.cosine_error

    @property
    def certain(self) -> bool:
        """True, as of the lists."""
        return self.lists.certain

    @property
    def changed(self) -> int:
        """Slots changed since the clone was made."""
        return len(self._overlay)

    @property
    def cloned(self) -> bool:
        """Whether a clone answers."""
        return self._clone is not None

    @property
    def stale(self) -> bool:
        """Whether a new clone is due."""
        if self._given_up:
            return False
        return self._clone is None or len(self._overlay) >= STALE_AT

    def lengths(self) -> list[int]:
        """Return the number of vectors in each list."""
        return self.lists.lengths()

    def held(self, number: int) -> Vectors | None:
        """Return a copy of the vectors in one list: (n, dimension) f32."""
        return self.lists.held(number)

    def extend(self, vectors: Vectors, slots: Slots) -> None:
        """Add vectors at ``slots`` that it does not hold yet."""
        self.lists.extend(vectors, slots)
        self._lay_over(slots, vectors)

    def replace(self, vectors: Vectors, slots: Slots) -> None:
        """Put vectors at ``slots``, known or new."""
        self.lists.replace(vectors, slots)
        self._lay_over(slots, vectors)

    def remove(self, slots: Slots) -> None:
        """Forget what it holds at ``slots``."""
        self.lists.remove(slots)
        if self._clone is not None:
            self._overlay.remove(slots)

    def write(self, path: Path) -> None:
        """Write the lists, which know everything the clone knows."""
        self.lists.write(path)

    def clone(self) -> Clone | None:
        """Return a new clone; None when the device cannot make one, and then none is due any more.

        Takes long. Nobody may change the index until :meth:`adopt` took it; searches go on meanwhile.
        """
        try:
            return self._to_device(self.lists.native)
        except RuntimeError:  # faiss: out of memory on the device, or the device is gone
            self._give_up("clone")
            return None

    def adopt(self, clone: Clone) -> None:
        """Let a clone of the lists as they are answer from now on."""
        self._clone, self._overlay = clone, Overlay(self.dimension)

    def search(self, query: Vectors, limit: int, visible: VisibleSet, nprobe: int) -> Nearest:
        """Return the ``limit`` nearest visible slots of ``nprobe`` lists, and of what changed since the clone.

        A filter can lower neither the number of results nor let anything else through.
        """
        clone = self._clone
        wanted, lists = min(limit, visible.count), min(nprobe, self.nlist)
        asked = self._asked(wanted, visible)
        if clone is None or not 0 < asked <= _MOST or lists > _MOST:
            return self.lists.search(query, limit, visible, nprobe)
        try:
            found = clone.search(query, asked, lists)
        except RuntimeError:  # faiss: the device failed
            self._clone, self._overlay = None, Overlay(self.dimension)
            self._give_up("search")
            return self.lists.search(query, limit, visible, nprobe)
        best = self._overlay.over(found, query, visible, wanted)
        if len(best.slots) < wanted:
            return self.lists.search(query, limit, visible, nprobe)
        return best

    def _asked(self, wanted: int, visible: VisibleSet) -> int:
        """Return how many candidates the clone is asked for, so that ``wanted`` remain of them."""
        if wanted == 0:
            return 0
        share = self.entries / visible.count
        ample = wanted if share <= 1 else math.ceil(wanted * share * _AMPLE)
        return ample + len(self._overlay)

    def _lay_over(self, slots: Slots, vectors: Vectors) -> None:
        if self._clone is not None:
            self._overlay.put(slots, vectors)

    def _give_up(self, where: str) -> None:
        self._given_up = True
        self._failed(where)
