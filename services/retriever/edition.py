"""One retriever component over one collection: its IVF lists, its BM25 columns, how it fuses them.

Several editions stand side by side over the same passages, so that two versions of the index serve at
once and a rollback finds the old one warm. Every method runs in the search thread.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from services.retriever.collection import Collection
from services.retriever.index import IvfLists, Nearest, Slots, Vectors
from services.retriever.lexical import LexicalIndex, Matches
from services.retriever.plan import Plan
from services.retriever.visibility import VisibleSet

Kind = Literal["flat", "ivf"]

_SAMPLE_PER_LIST = 128
"""Training vectors per IVF list; faiss itself would use at most 256."""

_SEED = 7


class Edition:
    """How one component searches one collection."""

    def __init__(self, collection: Collection, component: str, plan: Plan) -> None:
        self.collection = collection
        self.component = component
        self.plan = plan
        self.lists: IvfLists | None = None
        """IVF lists; None while FLAT answers."""
        self.lexical_generation = 0
        """Generation of the collection that the BM25 index holds."""
        self.imbalance = 0.0
        """How uneven the IVF lists are, as of the last change; 1 is even, 0 means FLAT."""
        self._lexical = LexicalIndex(np.empty(0, dtype=np.int64), [], 0, plan.lexical)
        self._changed_since: set[int] | None = None

    @property
    def kind(self) -> Kind:
        """Which index answers searches."""
        return "flat" if self.lists is None else "ivf"

    @property
    def nlist(self) -> int:
        """IVF lists; 0 while FLAT answers."""
        return 0 if self.lists is None else self.lists.nlist

    def follow(self, slots: Slots) -> None:
        """Take over the vectors that the collection now holds at ``slots``."""
        if self._changed_since is not None:
            self._changed_since.update(slots.tolist())
        if self.lists is not None:
            self.lists.replace(self.collection.vectors(slots), slots)
            self.imbalance = self.lists.imbalance

    def nearest(self, query: Vectors, limit: int, visible: VisibleSet, nprobe: int) -> Nearest:
        """Return the nearest visible slots of a unit query vector; exact where few are visible."""
        if self.lists is None or visible.few:
            return self.collection.nearest(query, limit, visible)
        return self.lists.search(query, limit, visible, nprobe)

    def matches(
        self, query: Sequence[str], limit: int, visible: VisibleSet, others: Slots
    ) -> Matches:
        """Return the best visible slots for a query's terms, and the scores of ``others``."""
        known = self.collection.term_ids(query)
        return self._lexical.search(known, limit, visible, others)

    def adopt_lexical(self, index: LexicalIndex, generation: int) -> None:
        """Let ``index``, built from the collection's words of that generation, answer from now on."""
        self._lexical, self.lexical_generation = index, generation

    def begin_lists(self) -> None:
        """Remember from here on which slots change: lists are being made or read elsewhere."""
        self._changed_since = set()

    def sample(self, nlist: int) -> Vectors:
        """Return vectors to train ``nlist`` lists on; the same collection gives the same ones."""
        slots = self.collection.slots
        picked = np.random.default_rng(_SEED).permutation(len(slots))[: nlist * _SAMPLE_PER_LIST]
        return self.collection.vectors(slots[np.sort(picked)])

    def adopt_lists(self, lists: IvfLists, also: Slots | None = None) -> None:
        """Let ``lists`` answer from now on, caught up with what changed since :meth:`begin_lists`.

        ``also``: further slots whose vectors may differ from those of the lists, known to be stored;
        those that the collection does not hold yet follow when it does.
        """
        changed = self._changed_since or set()
        if also is not None:
            changed = changed | set(also[also < self.collection.entries].tolist())
        self._changed_since = None
        self.lists = lists
        self.follow(np.array(sorted(changed), dtype=np.int64))
        self.imbalance = lists.imbalance
