"""One batch of the stream into the store: decoded, checked against its collection, written, its words found.

Runs in the store thread; what it returns is applied to the collections in the search thread.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from services.retriever.collection import Change
from services.retriever.feed import FeedMessage
from services.retriever.passage import Passage, Refusal, RefusedPassage, from_message
from services.retriever.store import CollectionRow, Store
from services.retriever.terms import english_stemmer
from trimtab.contracts.documents import IndexedPassage
from trimtab.contracts.errors import InvalidMessage
from trimtab.contracts.message import decode


@dataclass(frozen=True, slots=True)
class Taken:
    """What a batch changed."""

    sequence: int
    """Last stream sequence of the batch, now durable."""
    changes: dict[str, list[Change]]
    """By collection; without passages that were already stored."""
    rows: dict[str, CollectionRow]
    """Of every collection that the batch touched."""
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
        """Store a batch; taking the same one again changes nothing."""
        refused: Counter[Refusal] = Counter()
        admitted = list(self._admitted(batch, refused))
        stored = self.store.apply(admitted, batch[-1].sequence)
        changes = {
            name: [Change.of(each, self._stem) for each in changed]
            for name, changed in stored.items()
        }
        rows = {name: self._rows[name] for name in changes}
        return Taken(batch[-1].sequence, changes, rows, refused)

    def _admitted(
        self, batch: Sequence[FeedMessage], refused: Counter[Refusal]
    ) -> Iterator[tuple[CollectionRow, Passage]]:
        for message in batch:
            try:
                passage = from_message(decode(IndexedPassage, message.data), message.sequence)
                yield self._row_for(passage), passage
            except InvalidMessage:
                refused[Refusal.UNREADABLE] += 1
            except RefusedPassage as problem:
                refused[problem.refusal] += 1

    def _row_for(self, passage: Passage) -> CollectionRow:
        """Return the passage's collection, made by its first passage.

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
        if passage.namespace != row.namespace:
            raise RefusedPassage(Refusal.NAMESPACE)
        if len(passage.vector) != row.dimension:
            raise RefusedPassage(Refusal.DIMENSION)
        if passage.token_dimension and not row.token_dimension:
            row = self._rows[name] = self.store.set_token_dimension(row, passage.token_dimension)
        if passage.token_dimension not in (0, row.token_dimension):
            raise RefusedPassage(Refusal.TOKENS)
        return row
