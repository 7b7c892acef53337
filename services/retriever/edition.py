"""One retriever component over one collection: its dense index, its BM25 columns, how it fuses them.

Several editions stand side by side over the same passages, so that two versions of the index serve at
once and a rollback finds the old one warm. Every method runs in the search thread.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np

from services.retriever.dense.advice import Shape
from services.retriever.dense.index import DenseIndex, Kind, Nearest, Slots, Vectors, nearest
from services.retriever.dense.trained import Trained
from services.retriever.passages.collection import Collection, LexicalInput
from services.retriever.passages.visibility import VisibleSet
from services.retriever.plan import Plan
from services.retriever.words.lexical import LexicalIndex
from services.retriever.words.segment import Matches
from services.retriever.words.walk import Scores
from trimtab.contracts.retrieve import EVERY_LIST

_SEED = 7


class Edition:
    """How one component searches one collection."""

    def __init__(
        self, collection: Collection, component: str, plan: Plan, trained: Trained | None = None
    ) -> None:
        self.collection = collection
        self.component = component
        self.plan = _without_index(plan) if collection.afar else plan
        row = collection.row
        fits = trained is not None and trained.fits(row.namespace, row.dimension)
        self.trained = trained if fits else None
        """The index that the component brings for this collection; None when it brings none of its space."""
        self.index: DenseIndex | None = None
        """What answers approximately; None while FLAT answers."""
        self.lexical_generation = 0
        """Generation of the collection that the BM25 index holds."""
        self.lexical = LexicalIndex(np.empty(0, dtype=np.int64), [], 0, plan.lexical)
        """Its BM25 index: all passages once :meth:`adopt_lexical` was called, if there were any before it."""
        self.indexed = 0
        """Passages when the index was trained; 0 while FLAT answers."""
        self.shape = Shape()
        """The index in numbers, as of the last :meth:`measure`."""
        self._reworded_since: set[int] | None = None
        self._changed_since: set[int] | None = None

    @property
    def kind(self) -> Kind | Literal["milvus"]:
        """Which index answers searches."""
        if self.collection.afar:
            return "milvus"
        return "flat" if self.index is None else self.index.kind

    @property
    def nlist(self) -> int:
        """IVF lists; 0 without."""
        return 0 if self.index is None else self.index.nlist

    @property
    def dead(self) -> int:
        """Tombstones in the index."""
        return 0 if self.index is None else self.index.dead

    @property
    def apply_chunk(self) -> int:
        """Passages put in one go of the search thread: 64 take lists of 1000 about 2 ms, 8 a graph as long."""
        return 8 if self.index is not None and self.index.kind == "hnsw" else 64

    def measure(self) -> None:
        """Look how long the lists are now."""
        size, index = self.collection.size, self.index
        if index is None:
            self.shape = Shape(size)
            return
        longest = max(index.lengths(), default=0)
        self.shape = Shape(size, self.indexed, index.nlist, index.imbalance, longest, index.dead)

    def follow(self, slots: Slots) -> None:
        """Take over the vectors that the collection now holds at ``slots``; none of a removed passage."""
        if self._changed_since is not None:
            self._changed_since.update(slots.tolist())
        if self.index is not None:
            present = self.collection.present(slots)
            self.index.remove(np.setdiff1d(slots, present))
            self.index.replace(self.collection.vectors(present), present)

    def nearest(self, query: Vectors, limit: int, visible: VisibleSet, nprobe: int) -> Nearest:
        """Return the nearest visible slots of a unit query vector; exact where few are visible.

        ``EVERY_LIST`` as ``nprobe`` asks for the truth, whatever the kind of the index.
        """
        if self.index is None or self.exactly(visible, nprobe):
            return self.collection.nearest(query, limit, visible)
        vectors, refine = self.collection.vectors, self.plan.index.refine
        return nearest(self.index, vectors, query, limit, visible, nprobe, refine)

    def exactly(self, visible: VisibleSet, nprobe: int) -> bool:
        """Whether :meth:`nearest` compares every visible passage."""
        if self.collection.afar:
            return nprobe >= EVERY_LIST
        return self.index is None or visible.few or nprobe >= EVERY_LIST

    def matches(
        self, query: Sequence[str], limit: int, visible: VisibleSet, others: Slots
    ) -> Matches:
        """Return the best visible slots for a query's terms, and the scores of ``others``."""
        known = self.collection.term_ids(query)
        return self.lexical.search(known, limit, visible, others)

    def word_scores(self, query: Sequence[str], slots: Slots) -> Scores:
        """Return the score of each slot for a query's terms."""
        return self.lexical.scores(self.collection.term_ids(query), slots)

    def reword(self, slots: Slots) -> None:
        """Let the words that the collection now holds at ``slots`` be found, and no others of theirs."""
        if self._reworded_since is not None:
            self._reworded_since.update(slots.tolist())
        _reword(self.lexical, self.collection, slots)
        self.lexical_generation = self.collection.generation

    def begin_lexical(self) -> LexicalInput:
        """Return what a BM25 index is to be built from, and remember what changes from here on."""
        self._reworded_since = set()
        return self.collection.lexical_input()

    def adopt_lexical(self, index: LexicalIndex, generation: int) -> None:
        """Let ``index``, built from the collection's words of that generation, answer from now on.

        It is caught up with what changed since :meth:`begin_lexical`.
        """
        changed = self._reworded_since
        self._reworded_since = None
        if changed:
            _reword(index, self.collection, np.array(sorted(changed), dtype=np.int64))
            generation = self.collection.generation
        self.lexical, self.lexical_generation = index, generation

    def begin_index(self) -> None:
        """Remember from here on which slots change: an index is being made or read elsewhere."""
        self._changed_since = set()

    def sample(self, size: int) -> Vectors:
        """Return at most ``size`` vectors to train on; the same collection gives the same ones."""
        slots = self.collection.slots
        picked = np.random.default_rng(_SEED).permutation(len(slots))[:size]
        return self.collection.vectors(slots[np.sort(picked)])

    def adopt_index(
        self, index: DenseIndex, also: Slots | None = None, *, indexed: int = 0
    ) -> None:
        """Let ``index`` answer from now on, caught up with what changed since :meth:`begin_index`.

        ``also``: further slots whose vectors may differ from those of the index, or were removed since;
        those that the collection does not hold yet follow when it does. ``indexed``: passages when it
        was trained.
        """
        changed = self._changed_since or set()
        if also is not None:
            changed = changed | set(also.tolist())
        self._changed_since = None
        self.index, self.indexed = index, indexed
        self.follow(np.array(sorted(changed), dtype=np.int64))
        self.measure()


def _without_index(plan: Plan) -> Plan:
    """Return the plan for vectors that have their index elsewhere: none is built of them here."""
    return msgspec.structs.replace(plan, index=msgspec.structs.replace(plan.index, kind="flat"))


def _reword(index: LexicalIndex, collection: Collection, slots: Slots) -> None:
    present, documents = collection.words(slots)
    index.remove(np.setdiff1d(slots, present))
    index.put(present, documents)
