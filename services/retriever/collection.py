"""One collection in memory: its vectors, words, token vectors and who may see what.

Every method runs in the search thread, so nothing here needs a lock; what takes long (BM25, k-means) is
computed elsewhere from what this object hands out, and comes back as one reference to swap.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.retriever.bm25 import Terms
from services.retriever.hitcache import HitCache, ReadHits
from services.retriever.index import DenseIndex, Nearest, Slots, Vectors
from services.retriever.lexical import LexicalIndex, Matches
from services.retriever.passage import searched_words
from services.retriever.plan import Plan
from services.retriever.store import CollectionRow, StoredPassage
from services.retriever.terms import Stem, terms
from services.retriever.visibility import Visibility, VisibleSet
from trimtab.contracts.retrieve import Hit

_SAMPLE_PER_LIST = 128
"""Training vectors per IVF list; faiss itself would use at most 256."""

_SEED = 7


@dataclass(frozen=True, slots=True)
class Change:
    """A stored passage and the terms of its words."""

    stored: StoredPassage
    """As written to the store."""
    terms: list[str]
    """Of title and text."""

    @classmethod
    def of(cls, stored: StoredPassage, stem: Stem) -> "Change":
        """Find the terms of a stored passage."""
        return cls(stored, terms(searched_words(stored.hit), stem))


@dataclass(frozen=True, slots=True)
class LexicalInput:
    """What a BM25 index is built from: references to what the collection held at one generation."""

    generation: int
    """Of the collection."""
    slots: Slots
    """Ascending."""
    documents: list[Terms]
    """Term ids of each slot."""
    vocabulary: int
    """Number of term ids."""


class Collection:
    """What is searched under one name."""

    def __init__(
        self,
        row: CollectionRow,
        plan: Plan,
        read_hits: ReadHits,
        dense: DenseIndex | None = None,
    ) -> None:
        """Make a collection; ``dense`` may come from a verified snapshot."""
        self.row = row
        self.plan = plan
        self.sequence = 0
        """Stream sequence applied."""
        self.generation = 0
        """Raised by every change."""
        self.lexical_generation = 0
        """Generation that the BM25 index holds."""
        self.token_bytes = 0
        """Memory of the token vectors."""
        self.imbalance = 0.0
        """How uneven the IVF lists are, as of the last change; 1 is even, 0 means FLAT."""
        self._hits = HitCache(read_hits)
        self._dense = dense or DenseIndex(row.dimension)
        self._visibility = Visibility()
        self._tokens: list[bytes] = []
        self._documents: list[Terms] = []
        self._vocabulary: dict[str, int] = {}
        self._lexical = LexicalIndex(np.empty(0, dtype=np.int64), [], 0, plan.lexical)
        self._since_training: set[int] | None = None

    @property
    def size(self) -> int:
        """Passages searchable."""
        return self._visibility.living

    @property
    def slots(self) -> Slots:
        """Every slot that holds a passage, ascending."""
        return self._visibility.slots()

    @property
    def index(self) -> DenseIndex:
        """The vectors."""
        return self._dense

    @property
    def version(self) -> str:
        """``collection@sequence``: what a reply says it was answered from."""
        return f"{self.row.name}@{self.sequence}"

    def apply(
        self, changes: Sequence[Change], sequence: int, *, vectors_known: bool = False
    ) -> None:
        """Take in stored passages; applying the same ones again changes nothing.

        ``vectors_known``: their vectors came with the snapshot and need not be put again.
        """
        self.sequence = max(self.sequence, sequence)
        if not changes:
            return
        slots = np.array([change.stored.slot for change in changes], dtype=np.int64)
        if not vectors_known:
            self._dense.put(slots, np.stack([change.stored.vector for change in changes]))
        self._hits.forget(slots.tolist())
        self._visibility.put(slots, [change.stored.hit.tenant for change in changes])
        self._reserve(int(slots.max()) + 1)
        for change in changes:
            slot = change.stored.slot
            self.token_bytes += len(change.stored.tokens) - len(self._tokens[slot])
            self._tokens[slot] = change.stored.tokens
            self._documents[slot] = self._term_ids(change.terms)
        if self._since_training is not None:
            self._since_training.update(slots.tolist())
        self.imbalance = self._dense.imbalance
        self.generation += 1

    def visible(self, tenant: str) -> VisibleSet:
        """Return what ``tenant`` may see."""
        return self._visibility.of(tenant)

    def nearest(self, query: Vectors, limit: int, visible: VisibleSet, nprobe: int) -> Nearest:
        """Return the nearest visible slots of a unit query vector."""
        return self._dense.search(query, limit, visible, nprobe)

    def matches(
        self, query: Sequence[str], limit: int, visible: VisibleSet, others: Slots
    ) -> Matches:
        """Return the best visible slots for a query's terms, and the scores of ``others``."""
        known = [self._vocabulary[term] for term in query if term in self._vocabulary]
        return self._lexical.search(known, limit, visible, others)

    def vectors(self, slots: Slots) -> Vectors:
        """Return the vectors at ``slots``: (n, dimension) f32."""
        return self._dense.vectors(slots)

    def tokens(self, slots: Slots) -> list[bytes]:
        """Return the token vectors at ``slots``, int8 of ``row.token_dimension`` columns."""
        return [self._tokens[slot] for slot in slots.tolist()]

    def hits(self, slots: Slots) -> list[Hit]:
        """Return the stored passages at ``slots``, in order."""
        return self._hits.get(slots.tolist())

    def lexical_input(self) -> LexicalInput:
        """Return what a BM25 index of the present passages is built from."""
        slots = self._visibility.slots()
        documents = [self._documents[slot] for slot in slots.tolist()]
        return LexicalInput(self.generation, slots, documents, len(self._vocabulary))

    def adopt_lexical(self, index: LexicalIndex, generation: int) -> None:
        """Let ``index``, built from the input of that generation, answer from now on."""
        self._lexical, self.lexical_generation = index, generation

    def begin_training(self, nlist: int) -> tuple[Vectors, Slots]:
        """Return a training sample and every slot to add; changes are remembered from here on."""
        self._since_training = set()
        slots = self._visibility.slots()
        picked = np.random.default_rng(_SEED).permutation(len(slots))[: nlist * _SAMPLE_PER_LIST]
        return self._dense.vectors(slots[np.sort(picked)]), slots

    def adopt_ivf(self, ivf: Any) -> None:
        """Let a trained and filled IVF index answer from now on."""
        changed: NDArray[np.int64] = np.array(sorted(self._since_training or ()), dtype=np.int64)
        self._dense.adopt(ivf, changed)
        self.imbalance = self._dense.imbalance
        self._since_training = None

    def _term_ids(self, found: Sequence[str]) -> Terms:
        ids = self._vocabulary
        return array("i", [ids.setdefault(term, len(ids)) for term in found])

    def _reserve(self, size: int) -> None:
        missing = size - len(self._tokens)
        if missing > 0:
            self._tokens.extend([b""] * missing)
            self._documents.extend([array("i")] * missing)
