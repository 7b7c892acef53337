"""From the disk to a collection in memory: every stored passage, before anybody may search it."""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

from services.retriever.passages.collection import Change, Collection, LexicalInput
from services.retriever.passages.store import CollectionRow, Store, StoredPassage
from services.retriever.passages.storedvectors import StoredVectors
from services.retriever.plan import LexicalPlan
from services.retriever.words.lexical import LexicalIndex
from services.retriever.words.terms import english_stemmer

_CHUNK = 1024


def snapshots_of(state: Path, collection: str, component: str) -> Path:
    """Return the folder of the snapshots that a component made of a collection."""
    return state / "indexes" / collection / component


def load_collection(
    store: Store, row: CollectionRow, stored: StoredVectors | None = None
) -> Collection:
    """Load one collection, with ``stored`` all but its vectors: nobody may write the store meanwhile."""
    collection = searched(store, row, stored)
    stem, sequence = english_stemmer(), store.read_sequence()
    for chunk in _chunks(store.passages(row)):
        collection.apply([Change.of(stored, stem) for stored in chunk], sequence)
        collection.sparse.settle()
    return collection


def searched(store: Store, row: CollectionRow, stored: StoredVectors | None = None) -> Collection:
    """Return a collection in memory that reads its texts and looks up its ids in the store."""
    return Collection(
        row,
        lambda slots: store.hits(row, slots),
        lambda ids, tenants: store.slots_of(row, ids, tenants),
        stored,
    )


def lexical_of(given: LexicalInput, plan: LexicalPlan) -> LexicalIndex:
    """Return a BM25 index of what a collection handed out; takes long, and needs no collection."""
    return LexicalIndex(given.slots, given.documents, given.vocabulary, plan)


def _chunks(passages: Iterable[StoredPassage]) -> Iterator[list[StoredPassage]]:
    iterator = iter(passages)
    while chunk := list(itertools.islice(iterator, _CHUNK)):
        yield chunk
