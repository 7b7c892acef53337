"""Gates: what is measured of a release before it may take requests, and how a release is asked for it."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from trimtab.contracts.mapping import MapReply
from trimtab.contracts.message import Message
from trimtab.contracts.pipeline import MapCall
from trimtab.contracts.retrieve import CollectionName

ReleaseHash = Annotated[str, Meta(pattern=r"^[0-9a-f]{12}\Z")]
"""Of the whole manifest: a report speaks of exactly this content."""


class Gate(StrEnum):
    """What a ramp policy may demand a report of; ``quality`` is demanded of every release that changes the mapper."""

    NORMS = "norms"
    INDEX = "index"
    GOLDEN = "golden"
    QUALITY = "quality"


class GateReport(Message, frozen=True, kw_only=True):
    """What was measured of a release; whether that is enough is decided anew each time it is looked at."""

    gate: Gate
    """Of which gate."""
    release: Annotated[str, Meta(min_length=1, max_length=80)]
    """What was asked."""
    release_hash: ReleaseHash
    """Content that answered."""
    cases: Annotated[int, Meta(ge=0)]
    """How many questions the figures are of."""
    cases_hash: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    """sha256 of the file of questions."""
    figures: dict[str, float]
    """What came out, by name: see ``trimtab.control.gates``."""
    at: float
    """Unix seconds of the measurement."""


class ProbeSearch(Message, frozen=True, kw_only=True):
    """Operator -> gateway (``trimtab.op.v1.probe_search``): one question to one release, whatever its weight."""

    release: Annotated[str, Meta(min_length=1, max_length=80)]
    """Whose components answer."""
    release_hash: ReleaseHash
    """Content that is meant; refused when the gateway knows another."""
    collection: CollectionName
    """Where to search."""
    text: Annotated[str, Meta(min_length=1, max_length=20_000)]
    """What to ask."""


class ProbedSearch(Message, frozen=True, kw_only=True):
    """Gateway -> operator: ids only."""

    norm: float
    """L2 norm of the query's vector as the encoder sent it."""
    nearest: list[str]
    """Nearest 10 by the index as it is set."""
    truly_nearest: list[str]
    """Nearest 10 when every list is visited: what FLAT finds."""
    retrieved: list[str]
    """First 50 of the retrieval order by the index as it is set, words included."""
    truly_retrieved: list[str]
    """The same when every list is visited."""
    results: list[str]
    """First 50 of the final order, reranked when the release reranks."""


class ProbeMap(Message, frozen=True, kw_only=True):
    """Operator -> gateway (``trimtab.op.v1.probe_map``): one output to one release, whatever its weight."""

    release: Annotated[str, Meta(min_length=1, max_length=80)]
    """Whose components answer."""
    release_hash: ReleaseHash
    """Content that is meant; refused when the gateway knows another."""
    call: MapCall
    """What to map."""


class ProbedMap(Message, frozen=True, kw_only=True):
    """Gateway -> operator."""

    labels: list[str]
    """Best first."""
    answer: MapReply | None = None
    """The whole answer; None from a gateway of an earlier version."""
