"""What changed in an index since a copy of it was made: laid over the copy's answers, so that they are today's."""

import numpy as np

from services.retriever.dense.index import Nearest, Slots, Vectors
from services.retriever.passages.visibility import VisibleSet


class Overlay:
    """Slots that were changed or removed, the changed ones with their vectors. Used from one thread."""

    def __init__(self, dimension: int) -> None:
        self._rows: dict[int, Vectors | None] = {}
        self._touched: Slots = np.empty(0, dtype=np.int64)
        self._slots: Slots = np.empty(0, dtype=np.int64)
        self._vectors: Vectors = np.empty((0, dimension), dtype=np.float32)
        self._gathered = True

    def __len__(self) -> int:
        """Slots touched."""
        return len(self._rows)

    def put(self, slots: Slots, vectors: Vectors) -> None:
        """Lay vectors at ``slots`` over the copy."""
        self._rows.update(zip(slots.tolist(), vectors.copy(), strict=True))
        self._gathered = False

    def remove(self, slots: Slots) -> None:
        """Let nothing of the copy's come out at ``slots``."""
        self._rows.update(dict.fromkeys(slots.tolist()))
        self._gathered = False

    def over(self, found: Nearest, query: Vectors, visible: VisibleSet, wanted: int) -> Nearest:
        """Return the best ``wanted`` visible of what the copy found that is as it was, and of what changed."""
        slots, cosines = found.slots, found.cosines
        if self._rows:
            self._gather()
            same = ~np.isin(slots, self._touched)
            slots = np.concatenate([slots[same], self._slots])
            cosines = np.concatenate([cosines[same], self._vectors @ query])
        if not visible.everything:
            seen = visible.contains(slots)
            slots, cosines = slots[seen], cosines[seen]
        order = np.argsort(-cosines, kind="stable")[:wanted]
        return Nearest(slots[order], cosines[order], found.visited)

    def _gather(self) -> None:
        """Bring the rows together once per change, not once per search."""
        if self._gathered:
            return
        here = [(slot, row) for slot, row in self._rows.items() if row is not None]
        self._touched = np.fromiter(self._rows, dtype=np.int64, count=len(self._rows))
        self._slots = np.array([slot for slot, _ in here], dtype=np.int64)
        if here:
            self._vectors = np.stack([row for _, row in here])
        else:
            self._vectors = self._vectors[:0]
        self._gathered = True
