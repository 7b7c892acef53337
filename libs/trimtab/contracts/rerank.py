"""Gateway -> reranker: candidates' signals to a better order."""

from typing import Annotated

from msgspec import Meta

from trimtab.contracts.message import Message
from trimtab.contracts.retrieve import Signals


class RerankRequest(Message, frozen=True, kw_only=True):
    """Gateway -> reranker (``trimtab.v1.rerank.<component>``)."""

    signals: Signals
    """Of the candidates, in retrieval order."""


class RerankReply(Message, frozen=True, kw_only=True):
    """Reranker -> gateway."""

    order: list[int]
    """A permutation of the candidates' positions, best first."""
    scores: list[float]
    """Relevance 0..1 of each candidate in the order sent (not in ``order``)."""
    moved: Annotated[int, Meta(ge=0)]
    """How many candidates changed their rank."""
    first_changed: bool
    """Whether rank 1 is another candidate than before."""
