"""Gateway -> reranker: candidates' signals to a better order."""

from typing import Annotated

from msgspec import Meta

from trimtab.contracts.message import Message
from trimtab.contracts.retrieve import MAX_POOL, Signals
from trimtab.contracts.tensor import Matrix


class RerankRequest(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Gateway -> reranker (``trimtab.v1.rerank.<component>``)."""

    signals: Signals
    """Of the candidates, in retrieval order."""
    features_of: Annotated[int, Meta(ge=0, le=MAX_POOL)] = 0
    """Of how many of the best the reply shall tell the feature values."""


class FeatureValues(Message, frozen=True, kw_only=True):
    """What a reranker looked at, of its best candidates."""

    names: list[str]
    """Features of the component, in its order."""
    positions: list[int]
    """Candidates in the order sent, best first: a beginning of ``order``."""
    values: Matrix
    """(positions, names) f32, as computed: before they are standardised."""


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
    features: FeatureValues | None = None
    """Of as many of the best as were asked for; None when none were."""
