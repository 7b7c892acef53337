"""The final order of a search's candidates, and what it had to do without."""

from collections.abc import Iterator
from dataclasses import dataclass

from trimtab.contracts.rerank import FeatureValues
from trimtab.contracts.retrieve import Hit, RetrieveReply


@dataclass(frozen=True, slots=True)
class Ranking:
    """Candidates in their final order."""

    order: list[int]
    """Positions in the retriever's reply, best first."""
    scores: list[float]
    """Of each, in that order: relevance 0..1 from the reranker, else the fused retrieval score."""
    reranked: bool
    """Whether a reranker ranked."""
    degraded: list[str]
    """What the order had to do without."""
    features: FeatureValues | None = None
    """What the reranker looked at, when that was asked for."""

    def hits(self, found: RetrieveReply) -> Iterator[tuple[Hit, float]]:
        """Yield each candidate with its score, best first."""
        for position, score in zip(self.order, self.scores, strict=True):
            yield found.hits[position], score
