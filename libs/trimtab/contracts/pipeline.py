"""Producer -> gateway over NATS: the front door of the whole pipeline."""

from typing import Annotated

from msgspec import Meta

from trimtab.contracts.errors import ErrorReply
from trimtab.contracts.explain import Explanation
from trimtab.contracts.mapping import MAX_OUTPUT_CHARS, Framework, MapReply
from trimtab.contracts.message import Message
from trimtab.contracts.retrieve import MAX_EXCLUDED, CollectionName, PassageId

MAX_QUERY_CHARS = 8192
"""Longest query, characters."""

MAX_CONTEXT = 16
"""Most texts of a search's context."""

MAX_SESSION_CHARS = 128
"""Longest name of a session."""

SessionId = Annotated[str, Meta(min_length=1, max_length=MAX_SESSION_CHARS)]
"""Any text, unique within the tenant; only its hash is kept, for half an hour."""

MAX_BATCH = 100
"""Most items of a batch (runbook 1, `/map/batch`)."""


class SearchRequest(Message, frozen=True, kw_only=True):
    """Producer -> gateway (``trimtab.v1.search``)."""

    text: Annotated[str, Meta(min_length=1, max_length=MAX_QUERY_CHARS)]
    """The query."""
    collection: CollectionName = "stdlib"
    """Where to search."""
    limit: Annotated[int, Meta(ge=1, le=100)] = 10
    """Results wanted."""
    context: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=MAX_QUERY_CHARS)]],
        Meta(max_length=MAX_CONTEXT),
    ] = []
    """Texts that the caller read or asked before, oldest first: what a contextual query model reads."""
    exclude: Annotated[list[PassageId], Meta(max_length=MAX_EXCLUDED)] = []
    """Ids of passages that must not come out, for example those of the context."""
    explain: bool = False
    """Whether the reply shall tell why it is as it is; the explanation is kept for ``trimtab explain`` too."""
    session: SessionId | None = None
    """The caller's name for queries that follow each other: a reranker may look at the last three of them."""


class SearchResult(Message, frozen=True, kw_only=True):
    """One answer."""

    id: str
    """The producer's id of the passage."""
    score: float
    """Relevance: 0..1 from the reranker, else the fused retrieval score."""
    title: str
    """Heading."""
    text: str
    """The passage."""
    article: str
    """What it belongs to."""
    metadata: dict[str, str]
    """Stored with it."""


class SearchReply(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Gateway -> producer. A reply that was not asked to explain itself has no such field."""

    request_id: str
    """For the logs of every stage."""
    release: str
    """Name of the release that served it."""
    results: list[SearchResult]
    """Best first."""
    timing_ms: dict[str, float]
    """Milliseconds: encode, retrieve, rerank, total."""
    versions: dict[str, str]
    """Component of each stage, and the index version."""
    degraded: list[str]
    """What was left out and why, for example ``rerank: no_workers``; empty when nothing was."""
    explanation: Explanation | None = None
    """Why; None unless asked for."""


class MapCall(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Producer -> gateway (``trimtab.v1.map_output``)."""

    output: Annotated[str, Meta(max_length=MAX_OUTPUT_CHARS)]
    """A label, an ``a|b`` aggregate, or a text."""
    detector: Annotated[str, Meta(min_length=1, max_length=64)] = "text"
    """Who said it; ``text`` for free text."""
    taxonomy: str = "ai-safety"
    """Which taxonomy to answer in."""
    threshold: Annotated[float, Meta(ge=0.0, le=1.0)] | None = None
    """Confidence below which the rules decide."""
    frameworks: Annotated[list[Framework], Meta(max_length=16)] | None = None
    """Frameworks whose controls the answer names: ``SOC2``; empty: none, None: every one."""


class MapAnswer(Message, frozen=True, kw_only=True):
    """Gateway -> producer."""

    request_id: str
    """For the logs of every stage."""
    release: str
    """Name of the release that served it."""
    answer: MapReply
    """What the mapper said."""
    timing_ms: dict[str, float]
    """Milliseconds: encode, map, total."""


class MapBatchCall(Message, frozen=True, kw_only=True):
    """Producer -> gateway (``trimtab.v1.map_batch``)."""

    items: Annotated[list[MapCall], Meta(min_length=1, max_length=MAX_BATCH)]
    """1 to 100 items."""


class MapBatchItem(Message, frozen=True, kw_only=True):
    """One item's result: an answer or an error, never both."""

    answer: MapReply | None
    """What the mapper said."""
    error: ErrorReply | None
    """Why there is no answer."""


class MapBatchAnswer(Message, frozen=True, kw_only=True):
    """Gateway -> producer, items in the order sent."""

    request_id: str
    """For the logs of every stage."""
    release: str
    """Name of the release that served it."""
    items: list[MapBatchItem]
    """One per item of the request."""
