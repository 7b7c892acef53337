"""One collection in memory: its vectors, words, token vectors and who may see what.

What every edition of the collection shares. Each method runs in the search thread, so nothing here needs
a lock; what takes long (BM25, k-means) is computed elsewhere from what this object hands out.
"""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from services.retriever.dense.flat import FlatVectors
from services.retriever.dense.index import Nearest, Slots, Vectors
from services.retriever.passages.hitcache import HitCache, ReadHits
from services.retriever.passages.passage import searched_words, unpacked
from services.retriever.passages.store import CollectionRow, StoredPassage
from services.retriever.passages.storedvectors import StoredVectors
from services.retriever.passages.visibility import Visibility, VisibleSet
from services.retriever.vectordb.database import Found
from services.retriever.words.bm25 import Terms
from services.retriever.words.sparse import SparseIndex
from services.retriever.words.terms import Stem, terms
from trimtab.contracts.retrieve import PUBLIC_TENANT, Hit

FindSlots = Callable[[Sequence[str], Sequence[str]], Slots]
"""``find(ids, tenants) -> slots``: of the passages with these ids that one of the tenants owns."""


class Follows(Protocol):
    """What must hear of every changed vector: an edition."""

    def follow(self, slots: Slots) -> None:
        """Take over the vectors that the collection now holds at ``slots``; none of a removed passage."""

    def reword(self, slots: Slots) -> None:
        """Take over the words that the collection now holds at ``slots``; none of a removed passage."""


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
        read_hits: ReadHits,
        find_slots: FindSlots | None = None,
        stored: StoredVectors | None = None,
    ) -> None:
        """``find_slots`` looks ids up in an index; without one every passage is looked at.

        With ``stored`` no vector stays in memory: a vector database searches them.
        """
        self.row = row
        self.sequence = 0
        """Stream sequence applied."""
        self.generation = 0
        """Raised by every change."""
        self.token_bytes = 0
        """Memory of the token vectors."""
        self.sparse = SparseIndex()
        """The learned sparse vectors; those of all editions, for a plan changes nothing about them."""
        self._followers: list[Follows] = []
        self._hits = HitCache(read_hits)
        self._find_slots = find_slots or self._scan
        self._stored = stored
        self._flat = FlatVectors(row.dimension) if stored is None else stored
        self._visibility = Visibility()
        self._tokens: list[bytes] = []
        self._documents: list[Terms] = []
        self._vocabulary: dict[str, int] = {}

    @property
    def size(self) -> int:
        """Passages searchable."""
        return self._visibility.living

    @property
    def entries(self) -> int:
        """Slots with a vector, those of removed passages included."""
        return self._flat.size

    @property
    def afar(self) -> bool:
        """Whether a vector database searches its vectors, and none are here."""
        return self._stored is not None

    @property
    def slots(self) -> Slots:
        """Every slot that holds a passage, ascending."""
        return self._visibility.slots()

    @property
    def version(self) -> str:
        """``collection@sequence``: what a reply says it was answered from."""
        return f"{self.row.name}@{self.sequence}"

    def attach(self, follower: Follows) -> None:
        """Let an edition hear of every change from now on."""
        self._followers.append(follower)

    def detach(self, follower: Follows) -> None:
        """Let an edition go."""
        self._followers.remove(follower)

    def apply(self, changes: Sequence[Change], sequence: int) -> None:
        """Take in stored passages; applying the same ones again changes nothing."""
        self.sequence = max(self.sequence, sequence)
        if not changes:
            return
        slots = np.array([change.stored.slot for change in changes], dtype=np.int64)
        self._flat.put(slots, np.stack([change.stored.vector for change in changes]))
        self._hits.forget(slots.tolist())
        self._visibility.put(slots, [change.stored.hit.tenant for change in changes])
        for follower in self._followers:
            follower.follow(slots)
        self._take_sparse(slots, changes)
        self._reserve(int(slots.max()) + 1)
        for change in changes:
            slot = change.stored.slot
            tokens = b"" if self.afar else change.stored.tokens
            self.token_bytes += len(tokens) - len(self._tokens[slot])
            self._tokens[slot] = tokens
            self._documents[slot] = self._new_term_ids(change.terms)
        self.generation += 1
        for follower in self._followers:
            follower.reword(slots)

    def remove(self, slots: Slots, sequence: int) -> None:
        """Forget the passages at ``slots``: no search that begins after this finds anything of them."""
        self.sequence = max(self.sequence, sequence)
        slots = slots[self._visibility.owned(slots)]
        if not len(slots):
            return
        self._visibility.remove(slots)
        self._flat.remove(slots)
        self.sparse.remove(slots)
        for follower in self._followers:
            follower.follow(slots)
        self._hits.forget(slots.tolist())
        for slot in slots.tolist():
            self.token_bytes -= len(self._tokens[slot])
            self._tokens[slot], self._documents[slot] = b"", array("i")
        self.generation += 1
        for follower in self._followers:
            follower.reword(slots)

    def visible(self, tenant: str) -> VisibleSet:
        """Return what ``tenant`` may see."""
        return self._visibility.of(tenant)

    def slots_of(self, ids: Sequence[str], tenant: str) -> Slots:
        """Return the slots of the passages with these ids that ``tenant`` may see."""
        return self._find_slots(ids, (tenant, PUBLIC_TENANT))

    def nearest(self, query: Vectors, limit: int, visible: VisibleSet) -> Nearest:
        """Return the true nearest visible slots of a unit query vector."""
        return self._flat.search(query, limit, visible)

    def located(self, found: Found, query: Vectors, visible: VisibleSet) -> Nearest:
        """Return which visible slots a vector database found, by the cosines of the stored vectors.

        What it knows of another worker and we do not yet, or not any more, is left out.
        """
        if self._stored is None:
            raise AssertionError("only a collection that lives afar is searched there")
        slots = np.array(list(self._stored.slots_of(found.keys).values()), dtype=np.int64)
        slots = slots[visible.contains(slots)]
        cosines = self._stored.vectors(slots) @ query
        order = np.argsort(-cosines, kind="stable")
        return Nearest(slots[order], cosines[order])

    def vectors(self, slots: Slots) -> Vectors:
        """Return the vectors at ``slots``: (n, dimension) f32."""
        return self._flat.vectors(slots)

    def tokens(self, slots: Slots) -> list[bytes]:
        """Return the token vectors at ``slots``, int8 of ``row.token_dimension`` columns."""
        if self._stored is not None:
            return self._stored.tokens(slots)
        return [self._tokens[slot] for slot in slots.tolist()]

    def held(self, slots: Slots) -> tuple[Slots, Vectors]:
        """Return those of ``slots`` that hold a passage, and their vectors."""
        present = self.present(slots)
        return present, self._flat.vectors(present)

    def present(self, slots: Slots) -> Slots:
        """Return those of ``slots`` that hold a passage, in order."""
        return slots[self._visibility.owned(slots)]

    def hits(self, slots: Slots) -> tuple[Slots, list[Hit]]:
        """Return the positions in ``slots`` of the passages that are stored, and these passages, in order.

        One is missing when its removal is durable already and not yet applied here.
        """
        found = list(enumerate(self._hits.get(slots.tolist())))
        there = [(position, hit) for position, hit in found if hit is not None]
        positions = np.array([position for position, _ in there], dtype=np.int64)
        return positions, [hit for _, hit in there]

    def term_ids(self, words: Sequence[str]) -> list[int]:
        """Return the ids of the terms that occur anywhere in the collection."""
        return [self._vocabulary[term] for term in words if term in self._vocabulary]

    def words(self, slots: Slots) -> tuple[Slots, list[Terms]]:
        """Return those of ``slots`` that hold a passage, and the term ids of each."""
        present = self.present(slots)
        return present, [self._documents[slot] for slot in present.tolist()]

    def lexical_input(self) -> LexicalInput:
        """Return what a BM25 index of the present passages is built from."""
        slots = self._visibility.slots()
        documents = [self._documents[slot] for slot in slots.tolist()]
        return LexicalInput(self.generation, slots, documents, len(self._vocabulary))

    def _take_sparse(self, slots: Slots, changes: Sequence[Change]) -> None:
        if self.row.sparse is not None or self.sparse.size:
            self.sparse.put(slots, [unpacked(change.stored.sparse) for change in changes])

    def _scan(self, ids: Sequence[str], tenants: Sequence[str]) -> Slots:
        slots = self.slots
        positions, hits = self.hits(slots)
        found = [hit.id in ids and hit.tenant in tenants for hit in hits]
        return slots[positions[np.array(found, dtype=np.bool_)]]

    def _new_term_ids(self, found: Sequence[str]) -> Terms:
        ids = self._vocabulary
        return array("i", [ids.setdefault(term, len(ids)) for term in found])

    def _reserve(self, size: int) -> None:
        missing = size - len(self._tokens)
        if missing > 0:
            self._tokens.extend([b""] * missing)
            self._documents.extend([array("i")] * missing)
