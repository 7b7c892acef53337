"""Bodies of the HTTP facade that are not already a contract of the bus. Closed to unknown fields."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from trimtab.contracts.documents import MAX_DOCUMENTS, MAX_TEXT_CHARS, Document
from trimtab.contracts.errors import ErrorReply
from trimtab.contracts.mapping import MAX_OUTPUT_CHARS, Framework, MapReply
from trimtab.contracts.pipeline import MAX_BATCH
from trimtab.contracts.retrieve import MAX_POOL, CollectionName

MAX_EMBEDDING_INPUTS = 2048
"""As many as OpenAI's endpoint takes."""

MAX_MODEL_CHARS = 120
"""Longest name of a model: it becomes part of a subject, and an endless one costs the connection."""

NOT_BLANK = {"pattern": r"\S", "minLength": 1}
"""Said in the schema only: the encoder refuses blank texts, and names the position of the text."""

_NAMESPACE = "A namespace, for example single_vector.minilm.384.v1; /health names the one in use."

_Text = Annotated[str, Meta(extra_json_schema=NOT_BLANK)]


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of the HTTP bodies."""


class DocumentBody(Body, frozen=True, kw_only=True):
    """One passage of ``POST /v1/documents``."""

    id: Annotated[str, Meta(min_length=1, max_length=256)]
    """Unique within tenant and collection; sending it again replaces the passage."""
    text: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT_CHARS)]
    """What is searched and shown."""
    title: Annotated[str, Meta(max_length=512)] = ""
    """Heading; searched together with the text."""
    article: Annotated[str, Meta(max_length=256)] = ""
    """What it belongs to; the id when empty."""
    tenant: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    """Who may find it; whoever sends it when it says nothing, so that nothing becomes public unasked."""
    metadata: dict[str, str] = {}
    """Stored and returned, not searched."""

    def owned_by(self, sender: str) -> Document:
        """Return the passage with an owner."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        return Document(**{**fields, "tenant": self.tenant or sender})


class DocumentsBody(Body, frozen=True, kw_only=True):
    """``POST /v1/documents``."""

    collection: CollectionName
    """Where to."""
    documents: Annotated[list[DocumentBody], Meta(min_length=1, max_length=MAX_DOCUMENTS)]
    """1 to 64 passages."""


class EmbeddingsBody(Body, frozen=True, kw_only=True):
    """``POST /v1/embeddings``, the shape of OpenAI's."""

    model: Annotated[str, Meta(max_length=MAX_MODEL_CHARS, description=_NAMESPACE)]
    """A namespace, for example ``single_vector.minilm.384.v1``."""
    input: _Text | Annotated[list[_Text], Meta(min_length=1, max_length=MAX_EMBEDDING_INPUTS)]
    """One text or up to 2048."""
    encoding_format: Literal["float", "base64"] = "float"
    """Numbers, or base64 of little-endian float32."""
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    """Must be the namespace's own dimension when given."""
    user: str | None = None
    """Accepted and ignored."""


class Embedding(Body, frozen=True, kw_only=True):
    """One vector of the answer."""

    object: Literal["embedding"] = "embedding"
    index: int
    """Position of its text in the input."""
    embedding: list[float] | str
    """Numbers, or base64."""


class Usage(Body, frozen=True, kw_only=True):
    """Tokens spent."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsAnswer(Body, frozen=True, kw_only=True):
    """Answer of ``POST /v1/embeddings``."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    """One per text, in order."""
    model: str
    """Echo of the namespace."""
    usage: Usage


class RerankText(Body, frozen=True, kw_only=True):
    """A document given as an object, as Cohere and Jina allow."""

    text: _Text


class RerankBody(Body, frozen=True, kw_only=True):
    """``POST /v1/rerank``, the shape of Cohere's and Jina's."""

    query: Annotated[_Text, Meta(max_length=8192)]
    """What to rank for."""
    documents: Annotated[list[_Text | RerankText], Meta(min_length=1, max_length=MAX_POOL)]
    """1 to 200 texts."""
    model: Annotated[str, Meta(max_length=MAX_MODEL_CHARS)] | None = None
    """A reranker component; None takes the release's."""
    top_n: Annotated[int, Meta(ge=1)] | None = None
    """How many to return; all when None."""
    return_documents: bool = False
    """Also return the texts."""


class RerankResult(Body, frozen=True, kw_only=True):
    """One ranked document."""

    index: int
    """Its position in the request."""
    relevance_score: float
    """0..1 from the reranker, else the fused retrieval score."""
    document: RerankText | None = None
    """Present when asked for."""


class RerankAnswer(Body, frozen=True, kw_only=True):
    """Answer of ``POST /v1/rerank``."""

    id: str
    """Request id."""
    model: str
    """Component that ranked."""
    results: list[RerankResult]
    """Best first."""
    degraded: list[str]
    """What was left out and why."""


class MapBody(Body, frozen=True, kw_only=True):
    """``POST /v1/map``."""

    output: Annotated[str, Meta(max_length=MAX_OUTPUT_CHARS)]
    """A label, an ``a|b`` aggregate, or a text."""
    detector: Annotated[str, Meta(min_length=1, max_length=64)] = "text"
    """Who said it; ``text`` for free text."""
    taxonomy: str = "ai-safety"
    """Which taxonomy to answer in."""
    threshold: Annotated[float, Meta(ge=0.0, le=1.0)] | None = None
    """Confidence below which the rules decide."""
    frameworks: Annotated[list[Framework], Meta(max_length=16)] | None = None
    """Frameworks whose controls the answer names: `SOC2`; empty: none, left out: every one."""


class MapBatchBody(Body, frozen=True, kw_only=True):
    """``POST /v1/map/batch``."""

    requests: Annotated[list[MapBody], Meta(min_length=1, max_length=MAX_BATCH)]
    """1 to 100 items."""


class MapResult(Body, frozen=True, kw_only=True):
    """Answer of ``POST /v1/map``: the mapper's, with who answered it."""

    request_id: str
    release: str
    taxonomy: list[str]
    scores: dict[str, float]
    confidence: float
    decided_by: str
    fallback_reason: str | None
    mode: str
    versions: dict[str, str]
    controls: dict[str, list[str]]
    timing_ms: dict[str, float]

    @classmethod
    def of(
        cls, request_id: str, release: str, answer: MapReply, timing_ms: dict[str, float]
    ) -> "MapResult":
        """Flatten a mapper's reply."""
        return cls(
            request_id=request_id,
            release=release,
            timing_ms=timing_ms,
            **{name: getattr(answer, name) for name in answer.__struct_fields__},
        )


class MapBatchResult(Body, frozen=True, kw_only=True):
    """One item of the batch: an answer or an error."""

    index: int
    """Position in the request."""
    answer: MapReply | None
    error: ErrorReply | None


class MapBatchResults(Body, frozen=True, kw_only=True):
    """Answer of ``POST /v1/map/batch``; 200 even when items failed, each says so itself."""

    request_id: str
    release: str
    results: list[MapBatchResult]
    failed: int
    """How many items have an error."""


class Problem(Body, frozen=True, kw_only=True):
    """RFC 9457 problem details, with our code."""

    type: str
    """``urn:trimtab:error:<code>``."""
    title: str
    """Class of the error."""
    status: int
    """HTTP status."""
    detail: str
    """What was wrong, with what, and what to do."""
    code: str
    """One of the closed set of codes."""
    retryable: bool
    """Whether the same request may succeed a moment later."""
    request_id: str
    """For the logs of every stage."""
