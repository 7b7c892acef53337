"""Operator -> controller: how good the running search was on held-out queries, and what is kept of that."""

from typing import Annotated

from msgspec import Meta

from trimtab.contracts.message import Message
from trimtab.contracts.retrieve import CollectionName

Share = Annotated[float, Meta(ge=0, le=1)]
"""Of queries."""


class RetrievedFigures(Message, frozen=True, kw_only=True):
    """The same queries answered by the encoder and the retriever alone: what a reranker has to improve on."""

    recall_at_5: Share
    """Share of the queries with something relevant among the first five."""
    mrr_at_10: Share
    """Mean reciprocal rank of the first relevant one among the first ten."""
    contain_at_50: Share
    """Share of the queries with something relevant among the first fifty."""


class Evaluation(Message, frozen=True, kw_only=True):
    """One run of `trimtab eval run --publish`.

    Operator -> controller (``trimtab.op.v1.evaluation``); once it is stored, the controller tells the other
    controllers and who records (``trimtab.evt.evaluation``).
    """

    at: float
    """Unix seconds of its end."""
    release: Annotated[str, Meta(min_length=1, max_length=80)]
    """That answered every query."""
    collection: CollectionName
    """That was searched."""
    queries: Annotated[int, Meta(ge=1)]
    """How many were asked."""
    recall_at_5: Share
    """Share of the queries with something relevant among the first five."""
    before: Share
    """Median of the same over earlier runs of the same queries."""
    contain_at_50: Share | None = None
    """Share of the queries with something relevant among the first fifty; None when not so many were asked for."""
    mrr_at_10: Share | None = None
    """Mean reciprocal rank of the first relevant one among the first ten; None from who does not tell."""
    retrieved: RetrievedFigures | None = None
    """Before the reranker, within the day before; None when nobody measured that."""
    release_hash: str = ""
    """Content hash of the release, filled in by the controller that stores it: a name can be given anew after `release
    delete`. Empty when no release had that name then: it speaks for nobody."""


class EvaluationReply(Message, frozen=True, kw_only=True):
    """Controller -> operator, once the evaluation is on disk."""

    kept: bool
    """False: a later one of the same release was kept before, so this one says nothing new."""


class KeptEvaluations(Message, frozen=True, kw_only=True):
    """The document under the key ``newest`` of the bucket ``trimtab_evaluations``."""

    newest: list[Evaluation]
    """The newest of each release; those too old to speak for it are dropped at the next write."""
