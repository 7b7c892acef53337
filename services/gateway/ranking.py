"""The final order of a search's candidates: the reranker's, or the retriever's where there is none."""

from collections.abc import Iterator
from dataclasses import dataclass

from services.gateway.degrade import degraded_rerank
from services.gateway.stages import Stages
from trimtab.contracts.errors import Disabled, TrimtabError
from trimtab.contracts.rerank import FeatureValues, RerankRequest
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


async def rank(stages: Stages, found: RetrieveReply, *, features_of: int = 0) -> Ranking:
    """Order the candidates; without a reranker the retrieval order stands and the ranking says so.

    ``features_of``: of how many of the best the feature values are wanted.
    """
    signals, component = found.signals, stages.release.rerank
    if signals is None or not found.hits:
        return Ranking([], [], reranked=False, degraded=[])
    degraded: list[str] = []
    if component is not None:
        try:
            if not stages.in_force().reranker_on:
                raise Disabled("the reranker")
            reply = await stages.rerank(
                RerankRequest(signals=signals, features_of=features_of), component
            )
        except TrimtabError as error:
            degraded = [degraded_rerank(error)]
        else:
            scores = [reply.scores[position] for position in reply.order]
            return Ranking(reply.order, scores, True, [], reply.features)
    fused: list[float] = signals.fused.array()[0].tolist()
    return Ranking(list(range(len(fused))), fused, reranked=False, degraded=degraded)
