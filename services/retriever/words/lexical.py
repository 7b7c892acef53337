"""The lexical half: the best passages for a query's terms by BM25, over segments that take changes one by one.

A change is found by the next search, and no search waits for more than it. What a term is worth is
always counted over the passages that are there; scores differ from those of an index made at once by a factor
of at most 1 + :data:`DRIFT`, and only until :meth:`LexicalIndex.due` was done: :mod:`bm25` says why.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from services.retriever.passages.visibility import VisibleSet
from services.retriever.plan import LexicalPlan
from services.retriever.words.bm25 import Terms, columns_of, held_by, lengths_of, rarity, rescaled
from services.retriever.words.columns import Columns
from services.retriever.words.segment import Matches, Segment, Slots, Wanted
from services.retriever.words.segments import Merge, Segments
from services.retriever.words.walk import Scores

DRIFT = 1e-3
"""Share by which the mean length may have changed before kept values are computed anew."""

_COMMON_SHARE = 0.05
"""A term in more passages than that finds none by itself, if rarer ones found enough."""


class LexicalIndex:
    """BM25 over a set of passages. Everything but a merge's run happens in one thread."""

    def __init__(
        self, slots: Slots, documents: Sequence[Terms], vocabulary: int, plan: LexicalPlan
    ) -> None:
        """Take in ``documents``, the term ids below ``vocabulary`` of the passages at ``slots``."""
        self._plan = plan
        self._held: list[Terms | None] = []
        self._held_by = np.zeros(vocabulary, dtype=np.int64)
        self._size = 0
        self._length = 0
        self._segments = Segments()
        self.put(slots, documents)

    @property
    def size(self) -> int:
        """Passages covered."""
        return self._size

    @property
    def segments(self) -> int:
        """Parts that every search goes through."""
        return len(self._segments.each)

    @property
    def mean(self) -> float:
        """Mean length of the passages, in terms; 1 when none has any."""
        return self._length / self._size if self._length else 1.0

    def put(self, slots: Slots, documents: Sequence[Terms]) -> None:
        """Take in the terms of passages, new or changed; the next search finds them."""
        if not len(slots):
            return
        self.remove(slots)
        self._reserve(int(slots.max()) + 1)
        latest = dict(zip(slots.tolist(), documents, strict=True))
        order = sorted(latest)
        ordered = [latest[slot] for slot in order]
        for slot, document in zip(order, ordered, strict=True):
            self._held[slot] = document
        lengths = lengths_of(ordered)
        self._size += len(ordered)
        self._length += int(lengths.sum())
        columns = columns_of(ordered, lengths, self.mean, self._plan)
        self._count(columns)
        made = Segment.of(np.array(order, dtype=np.int64), lengths, columns, self.mean)
        self._segments.add(made, self._scaled_to(self.mean), self.mean)

    def remove(self, slots: Slots) -> None:
        """Take passages out; slots that hold none change nothing."""
        known = [slot for slot in set(slots.tolist()) if slot < len(self._held)]
        gone = [document for slot in known if (document := self._held[slot]) is not None]
        if not gone:
            return
        for slot in known:
            self._held[slot] = None
        self._segments.bury(slots)
        lengths = lengths_of(gone)
        self._size -= len(gone)
        self._length -= int(lengths.sum())
        terms, passages = held_by(gone, lengths)
        self._held_by[terms] -= passages

    def search(self, terms: Terms, limit: int, visible: VisibleSet, others: Slots) -> Matches:
        """Return the ``limit`` best visible passages, and the scores of ``others`` for the same terms.

        Terms it does not know score nothing; a term that is repeated counts as often.
        """
        return self._segments.search(self._wanted(terms), limit, visible, others)

    def scores(self, terms: Terms, slots: Slots) -> Scores:
        """Return the score of each slot; 0 where no term occurs."""
        return self._segments.scores(self._wanted(terms), slots)

    def _wanted(self, terms: Terms) -> Wanted:
        counted = Counter(term for term in terms if term < len(self._held_by))
        ids = np.fromiter(counted, dtype=np.int64, count=len(counted))
        times = np.fromiter(counted.values(), dtype=np.int64, count=len(counted))
        there = self._held_by[ids] > 0
        ids, times = ids[there], times[there]
        passages = self._held_by[ids]
        return Wanted(
            ids,
            (times * rarity(passages, self._size)).astype(np.float32),
            passages > _COMMON_SHARE * self._size,
        )

    def due(self) -> Merge | None:
        """Return work that keeps searches fast and scores near, to be run beside them; None: all is well."""
        mean = self.mean
        return self._segments.due(
            self._scaled_to(mean), mean, lambda segment: _apart(segment.mean, mean) > DRIFT
        )

    def adopt(self, merge: Merge, made: Segment) -> None:
        """Search what a merge made in place of what it was made of."""
        self._segments.adopt(merge, made)

    def drift(self) -> float:
        """Return by which factor, less 1, scores may differ at most from those of an index made at once."""
        return max(
            (_apart(live.segment.mean, self.mean) for live in self._segments.each), default=0.0
        )

    def _scaled_to(self, mean: float) -> Callable[[Segment], Columns]:
        plan = self._plan

        def scaled(segment: Segment) -> Columns:
            return rescaled(segment.columns, segment.lengths, segment.mean, mean, plan)

        return scaled

    def _count(self, columns: Columns) -> None:
        if len(columns.terms):
            self._reserve_terms(int(columns.terms[-1]) + 1)
            self._held_by[columns.terms] += columns.held_by

    def _reserve(self, size: int) -> None:
        self._held.extend([None] * (size - len(self._held)))

    def _reserve_terms(self, size: int) -> None:
        if size > len(self._held_by):
            grown = np.zeros(max(size, 2 * len(self._held_by)), dtype=np.int64)
            grown[: len(self._held_by)] = self._held_by
            self._held_by = grown


def _apart(one: float, other: float) -> float:
    return max(one / other, other / one) - 1.0
