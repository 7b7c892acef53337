"""One batch of the stream into the store: decoded, checked against its collection, written, its words found.

Runs in the store thread; what it returns is applied to the collections in the search thread.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from services.retriever.passages.collection import Change
from services.retriever.passages.feed import FeedMessage
from services.retriever.passages.passage import (
    Passage,
    Refusal,
    RefusedPassage,
    Removal,
    from_message,
)
from services.retriever.passages.store import CollectionRow, Store
from services.retriever.words.terms import english_stemmer
from trimtab.contracts.documents import CollectionRecord, Entry, IndexedPassage, RemovedPassage
from trimtab.contracts.errors import InvalidMessage
from trimtab.contracts.message import decode
from trimtab.contracts.sparse import SparseSpace

Admitted = tuple[CollectionRow, Passage | Removal]
"""A change and the collection it belongs to."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a batch changed."""

    sequence: int
    """Last stream sequence of the batch, now durable."""
    changes: dict[str, list[Change]]
    """By collection; without passages that were already stored."""
    removed: dict[str, list[int]]
    """Slots whose passage is gone, by collection; none of them stands in ``changes``."""
    rows: dict[str, CollectionRow]
    """Of every collection that the batch changed or began."""
    refused: Counter[Refusal]
    """Messages that cannot become passages: skipped, for nobody waits for a reply."""


@dataclass
class Intake:
    """Writes batches to one store."""

    store: Store
    """Where to."""
    _rows: dict[str, CollectionRow] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._rows = {row.name: row for row in self.store.collections()}
        self._stem = english_stemmer()

    def begin_stream(self, identity: str) -> None:
        """Forget every passage: they were of another stream."""
        self.store.begin_stream(identity)
        self._rows = {}

    def take(self, batch: Sequence[FeedMessage]) -> Taken:
        """Store a batch; taking the same one again changes nothing.

        What the store holds already is passed over: an old passage would come back after its removal.
        """
        known, refused = self.store.read_sequence(), Counter[Refusal]()
        begun = set(self._rows)
        admitted = [
            change
            for message in batch
            if message.sequence > known
            for change in self._admitted(message, refused)
        ]
        sequence = max(known, batch[-1].sequence)
        applied = self.store.apply(admitted, sequence)
        changes = {
            name: [Change.of(each, self._stem) for each in of.changed.values()]
            for name, of in applied.items()
        }
        removed = {name: sorted(of.removed) for name, of in applied.items()}
        touched = [name for name in self._rows if name in applied or name not in begun]
        rows = {name: self._rows[name] for name in touched}
        return Taken(sequence, changes, removed, rows, refused)

    def _admitted(self, message: FeedMessage, refused: Counter[Refusal]) -> list[Admitted]:
        """Return the change that a message asks for: none or one."""
        try:
            match message.entry:
                case Entry.PASSAGE:
                    return [self._passage(decode(IndexedPassage, message.data), message.sequence)]
                case Entry.REMOVED:
                    return self._removal(decode(RemovedPassage, message.data), message.sequence)
                case Entry.COLLECTION:
                    self._begin(decode(CollectionRecord, message.data))
                case _:
                    refused[Refusal.UNREADABLE] += 1
        except InvalidMessage:
            refused[Refusal.UNREADABLE] += 1
        except RefusedPassage as problem:
            refused[problem.refusal] += 1
        return []

    def _removal(self, message: RemovedPassage, sequence: int) -> list[Admitted]:
        row = self._rows.get(message.collection)
        if row is None:
            return []
        return [(row, Removal(sequence, message.collection, message.tenant, message.id))]

    def _begin(self, record: CollectionRecord) -> None:
        """Make a collection as its record says.

        Raises:
            RefusedPassage: it is there, and of another space or dimension, or its sparse vectors are.
        """
        row = self._rows.get(record.collection)
        if row is None:
            row = self._rows[record.collection] = self.store.add_collection(
                record.collection, record.namespace, record.component, record.dimension, 0
            )
        _check(row, record.namespace, record.dimension)
        if record.sparse is not None:
            self._with_sparse(row, record.sparse)

    def _passage(self, message: IndexedPassage, sequence: int) -> Admitted:
        passage = from_message(message, sequence)
        row = self._row_for(passage)
        if passage.space is not None:
            row = self._with_sparse(row, passage.space)
        return row, passage

    def _with_sparse(self, row: CollectionRow, space: SparseSpace) -> CollectionRow:
        """Return the collection with the space of its sparse vectors, fixed by the first to name one.

        Raises:
            RefusedPassage: it has another one.
        """
        if row.sparse is None:
            row = self._rows[row.name] = self.store.set_sparse(row, space)
        if row.sparse != space:
            raise RefusedPassage(Refusal.SPARSE)
        return row

    def _row_for(self, passage: Passage) -> CollectionRow:
        """Return the passage's collection, made by its first passage when it has no record.

        Raises:
            RefusedPassage: the passage's space or dimensions are not the collection's.
        """
        name = passage.collection
        row = self._rows.get(name)
        if row is None:
            row = self._rows[name] = self.store.add_collection(
                name,
                passage.namespace,
                passage.component,
                len(passage.vector),
                passage.token_dimension,
            )
        _check(row, passage.namespace, len(passage.vector))
        if passage.token_dimension and not row.token_dimension:
            row = self._rows[name] = self.store.set_token_dimension(row, passage.token_dimension)
        if passage.token_dimension not in (0, row.token_dimension):
            raise RefusedPassage(Refusal.TOKENS)
        return row


def _check(row: CollectionRow, namespace: str, dimension: int) -> None:
    if namespace != row.namespace:
        raise RefusedPassage(Refusal.NAMESPACE)
    if dimension != row.dimension:
        raise RefusedPassage(Refusal.DIMENSION)
