"""Asking for the final order of a search's candidates: the reranker's, or the retriever's where there is none."""

from services.gateway.degrade import degraded_rerank
from services.gateway.ranking import Ranking
from services.gateway.stages import Stages
from trimtab.contracts.errors import Disabled, TrimtabError
from trimtab.contracts.rerank import RerankRequest
from trimtab.contracts.retrieve import RetrieveReply


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
