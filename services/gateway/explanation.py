"""Why one search was answered as it was, gathered from what its stages said. Pure.

Only ids, versions and numbers: no text of a passage, and none of the query.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from services.gateway.ranking import Ranking
from services.gateway.stages import Stages
from trimtab.contracts.explain import EXPLAINED, Candidate, ExplainedPassage, Explanation
from trimtab.contracts.pipeline import SearchReply
from trimtab.contracts.retrieve import RetrieveReply, Signals


def explain(
    reply: SearchReply,
    found: RetrieveReply,
    ranking: Ranking,
    stages: Stages,
    *,
    asked: bool,
) -> Explanation:
    """Return the explanation of a reply that is ready to be sent."""
    context = stages.context
    places = {position: rank for rank, position in enumerate(ranking.order, start=1)}
    told = _Told(found, ranking)
    return Explanation(
        request_id=reply.request_id,
        tenant=context.tenant,
        at=stages.now,
        asked=asked,
        release=reply.release,
        role=context.role,
        bucket=stages.bucket,
        revision=context.revision,
        collection=found.collection,
        index=found.index,
        search=found.search,
        impl=found.impl,
        fallback=found.fallback,
        versions=reply.versions,
        instances=dict(stages.instances),
        timing_ms=reply.timing_ms,
        degraded=reply.degraded,
        pool=[
            Candidate(
                id=hit.id,
                rank=places[position],
                rank_before=position + 1,
                cosine=told.cosine[position],
            )
            for position, hit in enumerate(found.hits)
        ],
        top=[told.passage(place) for place in range(min(EXPLAINED, len(ranking.order)))],
    )


class _Told:
    """The signals of a pool as plain numbers."""

    def __init__(self, found: RetrieveReply, ranking: Ranking) -> None:
        self._ids = [hit.id for hit in found.hits]
        self._ranking = ranking
        self._features = _feature_values(ranking)
        signals = found.signals
        self.cosine = _row(signals, "cosine")
        self._bm25 = _row(signals, "bm25")
        self._fused = _row(signals, "fused")
        self._maxsim = _row(signals, "maxsim")
        self._sparse = _row(signals, "sparse")
        self._articles = signals.articles if signals is not None else []
        self._same = Counter(self._articles)

    def passage(self, place: int) -> ExplainedPassage:
        """Return everything of the passage at a place of the final order, 0 for the best."""
        ranking = self._ranking
        position, first = ranking.order[place], ranking.order[0]
        score = ranking.scores[place] if ranking.reranked else None
        return ExplainedPassage(
            id=self._ids[position],
            rank=place + 1,
            rank_before=position + 1,
            cosine=self.cosine[position],
            margin=self.cosine[position] - self.cosine[first],
            bm25=self._bm25[position],
            maxsim=self._maxsim[position] if self._maxsim else None,
            sparse=self._sparse[position] if self._sparse else None,
            fused=self._fused[position],
            score=score,
            score_margin=None if score is None else score - ranking.scores[0],
            same_article=self._same[self._articles[position]] - 1,
            features=dict(self._features.get(position, {})),
        )


def _row(signals: Signals | None, name: str) -> list[float]:
    matrix: Any = None if signals is None else getattr(signals, name)
    return [] if matrix is None else [float(number) for number in matrix.array()[0]]


def _feature_values(ranking: Ranking) -> dict[int, Mapping[str, float]]:
    told = ranking.features
    if told is None:
        return {}
    rows = told.values.array().tolist()
    return {
        position: dict(zip(told.names, row, strict=True))
        for position, row in zip(told.positions, rows, strict=True)
    }
