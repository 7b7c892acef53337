"""Why a search answered as it did: ids, versions and numbers, never a text of a passage or a query."""

from typing import Annotated

from msgspec import Meta

from trimtab.contracts.message import Message
from trimtab.contracts.retrieve import (
    MAX_POOL,
    CollectionName,
    Fallback,
    IndexUse,
    PassageId,
    QueryModelName,
)

EXPLAINED = 5
"""Best passages of which everything is told; of the others of the pool only where they stood."""


class Candidate(Message, frozen=True, kw_only=True):
    """One passage of the pool that was retrieved, whether or not it came out."""

    id: PassageId
    """The producer's id of the passage."""
    rank: Annotated[int, Meta(ge=1)]
    """Place in the final order."""
    rank_before: Annotated[int, Meta(ge=1)]
    """Place in the retrieval order, before the reranker."""
    cosine: float
    """Of query and passage, -1..1, as retrieved."""


class ExplainedPassage(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that decided the place of one of the best passages."""

    id: PassageId
    """The producer's id of the passage."""
    rank: Annotated[int, Meta(ge=1)]
    """Place in the final order."""
    rank_before: Annotated[int, Meta(ge=1)]
    """Place in the retrieval order, before the reranker."""
    cosine: float
    """Of query and passage, -1..1."""
    margin: float
    """``cosine`` less that of rank 1: above 0 where something nearer was put behind it."""
    bm25: float
    """BM25 score, >= 0; 0 where no query term occurs."""
    maxsim: float | None
    """Mean over query tokens of the best cosine with a passage token; None without token vectors."""
    sparse: float | None = None
    """Inner product of the learned sparse vectors, >= 0; None where they were not used."""
    fused: float
    """Retrieval score that set ``rank_before``."""
    score: float | None
    """Relevance 0..1 from the reranker; None when none ranked."""
    score_margin: float | None
    """``score`` less that of rank 1; None when no reranker ranked."""
    same_article: Annotated[int, Meta(ge=0)]
    """Other candidates of the pool that are of the same article."""
    features: dict[str, float]
    """What the reranker looked at, by name; empty when none ranked."""


class Explanation(Message, frozen=True, kw_only=True):
    """Gateway -> producer, in the reply of a search that asks for it, and into the stream of explanations."""

    request_id: str
    """Of the search."""
    tenant: str
    """Who searched: only who names it finds the explanation."""
    at: float
    """Unix seconds."""
    asked: bool
    """Whether the search asked to be explained; else it was one of the sample."""
    release: str
    """Name of the release that served it."""
    role: str
    """What that release is to the rollout: stable, canary or control."""
    bucket: Annotated[int, Meta(ge=0, le=9_999)]
    """Hash slot that decided the role."""
    revision: Annotated[int, Meta(ge=0)]
    """Control revision that was obeyed."""
    collection: CollectionName
    """Where it searched."""
    index: str
    """Version of the index that answered: ``collection@sequence``."""
    search: IndexUse | None
    """How the index was searched, with the retriever's own time split; None from one that does not tell."""
    impl: QueryModelName
    """Query model whose vector was searched with."""
    fallback: Fallback | None
    """Why that is not the one in force; None when it is."""
    versions: dict[str, str]
    """Component of each stage that took part."""
    instances: dict[str, str]
    """Worker of each stage that answered."""
    timing_ms: dict[str, float]
    """Milliseconds of each stage as the gateway saw it, the bus included: encode, retrieve, rerank, total."""
    degraded: list[str]
    """What was left out and why; empty when nothing was."""
    pool: Annotated[list[Candidate], Meta(max_length=MAX_POOL)]
    """Every candidate, in retrieval order."""
    top: Annotated[list[ExplainedPassage], Meta(max_length=EXPLAINED)]
    """The best of the final order, best first; all that there are when the pool is smaller."""
