"""From the disk to a collection that may be searched: snapshot if it can be believed, else the store."""

import itertools
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from services.retriever import golden, snapshot
from services.retriever.collection import Change, Collection, LexicalInput
from services.retriever.index import DenseIndex, extend_ivf, nlist_for, train_ivf
from services.retriever.lexical import LexicalIndex
from services.retriever.plan import LexicalPlan, Plan
from services.retriever.snapshot import Cause, Header, SnapshotRefused
from services.retriever.store import CollectionRow, Store, StoredPassage
from services.retriever.terms import english_stemmer
from services.retriever.upkeep import Condition, wants_ivf

_CHUNK = 1024


class WrongIndex(Exception):
    """An index that was just built from the store does not find what is in it."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A collection ready to be searched."""

    collection: Collection
    """With all its halves."""
    condition: Condition
    """For upkeep."""
    refused: Cause | None
    """Why its snapshot was not used; None when it was, or when there was none."""


def snapshots_of(state: Path, collection: str) -> Path:
    """Return the folder of a collection's snapshots."""
    return state / "indexes" / collection


def load_collection(
    store: Store, row: CollectionRow, plan: Plan, state: Path, now: float
) -> Loaded:
    """Load one collection: nobody may search or change it meanwhile.

    Raises:
        WrongIndex: the index built from the store does not find its own vectors.
    """
    index, sequence, refused = _from_snapshot(store, row, state)
    collection = Collection(row, plan, lambda slots: store.hits(row, slots), index)
    changed = _fill(collection, store, row, sequence)
    condition = Condition(collection.size, collection.index.nlist, changed_at=now)
    if wants_ivf(condition, plan.dense):
        _train(collection, plan)
    started = time.perf_counter()
    given = collection.lexical_input()
    collection.adopt_lexical(lexical_of(given, plan.lexical), given.generation)
    lexical_took_s = time.perf_counter() - started
    slots = collection.slots
    spread = slots[:: max(1, len(slots) // golden.QUERIES)].tolist()
    if not golden.finds_itself(collection.index, spread, plan.dense.nprobe):
        raise WrongIndex(row.name)
    saved = index is not None and not changed and collection.index.nlist == condition.nlist
    condition = Condition(
        collection.size,
        collection.index.nlist,
        changed_at=now,
        lexical_took_s=lexical_took_s,
        lexical_built_at=now,
        unsaved_since=None if saved or not collection.size else now,
    )
    return Loaded(collection, condition, refused)


def lexical_of(given: LexicalInput, plan: LexicalPlan) -> LexicalIndex:
    """Return a BM25 index of what a collection handed out; takes long, and needs no collection."""
    return LexicalIndex(given.slots, given.documents, given.vocabulary, plan)


def _from_snapshot(
    store: Store, row: CollectionRow, state: Path
) -> tuple[DenseIndex | None, int, Cause | None]:
    folder = snapshot.newest(snapshots_of(state, row.name))
    if folder is None:
        return None, -1, None

    def expected(header: Header) -> bool:
        same = (header.store, header.collection, header.dimension)
        return (
            same == (store.read_id(), row.name, row.dimension)
            and header.sequence <= store.read_sequence()
        )

    try:
        index, header = snapshot.load(folder, expected, lambda: store.vectors(row))
    except SnapshotRefused as refusal:
        shutil.rmtree(folder, ignore_errors=True)  # or a later start, further on, might believe it
        return None, -1, refusal.cause
    return index, header.sequence, None


def _fill(collection: Collection, store: Store, row: CollectionRow, known: int) -> bool:
    """Take in every stored passage; vectors up to sequence ``known`` are in the index already."""
    stem, sequence = english_stemmer(), store.read_sequence()
    changed = False
    for chunk in _chunks(store.passages(row)):
        changes = [Change.of(stored, stem) for stored in chunk]
        old = [change for change in changes if change.stored.sequence <= known]
        new = [change for change in changes if change.stored.sequence > known]
        collection.apply(old, sequence, vectors_known=True)
        collection.apply(new, sequence)
        changed = changed or bool(new)
    return changed


def _train(collection: Collection, plan: Plan) -> None:
    nlist = nlist_for(collection.size, plan.dense.nlist_per_sqrt)
    sample, slots = collection.begin_training(nlist)
    ivf = train_ivf(sample, nlist)
    for start in range(0, len(slots), _CHUNK):
        part = slots[start : start + _CHUNK]
        extend_ivf(ivf, collection.vectors(part), part)
    collection.adopt_ivf(ivf)


def _chunks(passages: Iterable[StoredPassage]) -> Iterator[list[StoredPassage]]:
    iterator = iter(passages)
    while chunk := list(itertools.islice(iterator, _CHUNK)):
        yield chunk
