"""What a vector database must do for a collection whose vectors are too many for one worker's memory.

Several workers share one copy there, so passages are named by tenant and id, never by a worker's own slots,
and writing the same passage twice does no harm.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from services.retriever.dense.index import Vectors
from trimtab.contracts.retrieve import DenseOutage


class Key(NamedTuple):
    """Which passage, for every worker alike."""

    tenant: str
    """Its owner."""
    id: str
    """The producer's id, unique within tenant and collection."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One passage as the database holds it."""

    key: Key
    """Which."""
    sequence: int
    """Stream sequence of its content: a later one replaces an earlier one, never the other way round."""
    vector: Vectors
    """(dimension,) f32 of unit length."""


@dataclass(frozen=True, slots=True)
class Question:
    """One search."""

    vector: Vectors
    """(dimension,) f32 of unit length."""
    limit: int
    """Results wanted."""
    tenants: Sequence[str]
    """Whose passages may come out: no others leave the database."""
    without: Sequence[Key]
    """Passages that must not come out."""
    nprobe: int
    """How hard to look; :data:`trimtab.contracts.retrieve.EVERY_LIST` asks for the exact answer."""


@dataclass(frozen=True, slots=True)
class Found:
    """The nearest passages, nearest first."""

    keys: list[Key]
    """Which; a worker may not know all of them yet, or any more."""
    cosines: Vectors
    """(n,) f32."""


@dataclass(frozen=True, slots=True)
class FarAnswer:
    """What the database made of one search, in time."""

    found: Found
    """Nothing while it is away."""
    outage: DenseOutage | None
    """Why that is not everything; None when it is."""
    took_s: float
    """Seconds waited."""


class VectorsAway(Exception):
    """The database did not do what it was asked; asking again later may help, and nothing is lost."""

    def __init__(self, cause: DenseOutage, problem: str) -> None:
        """``problem`` says what to do about it, and holds neither texts nor secrets."""
        super().__init__(problem)
        self.cause = cause


class CollectionGone(VectorsAway):
    """The database lost the collection: it must be made and filled again."""

    def __init__(self, name: str) -> None:
        super().__init__(DenseOutage.UNAVAILABLE, f"the vector database has no collection {name}")


class VectorDatabase(Protocol):
    """Vectors of many collections, by key. Every call blocks, ends by its deadline, and may come from any thread.

    Each raises :class:`VectorsAway`, and those on one collection :class:`CollectionGone`.
    """

    def prepare(self, name: str, dimension: int) -> bool:
        """Make the collection unless it is there, searchable and of ``dimension``; whether it was made."""

    def sequences(self, name: str, keys: Sequence[Key]) -> dict[Key, int]:
        """Return the sequence of each passage that it holds, as written last by anybody."""

    def put(self, name: str, entries: Sequence[Entry]) -> None:
        """Add or replace passages."""

    def remove(self, name: str, keys: Sequence[Key]) -> None:
        """Forget passages; those that it does not hold change nothing."""

    def search(self, name: str, question: Question, timeout_s: float) -> Found:
        """Return the nearest passages of the question's tenants, fewer than asked when it holds fewer."""

    def count(self, name: str) -> int:
        """Return how many passages it holds, of all tenants."""

    def drop(self, name: str) -> None:
        """Forget the whole collection; one that is not there changes nothing."""

    def close(self) -> None:
        """Let the connection go."""
