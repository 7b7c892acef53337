"""The reply of a search, from what its stages answered. Pure."""

from itertools import islice

from services.gateway.degrade import degraded_query
from services.gateway.ranking import Ranking
from services.gateway.stages import Stages
from trimtab.contracts.pipeline import SearchReply, SearchResult
from trimtab.contracts.retrieve import LAST_VEC, Hit, RetrieveReply


def search_reply(stages: Stages, found: RetrieveReply, ranking: Ranking, limit: int) -> SearchReply:
    """Return the ``limit`` best candidates with who served them; the clock of the request stops here."""
    return SearchReply(
        request_id=stages.context.request_id,
        release=stages.release.name,
        results=[_result(hit, score) for hit, score in islice(ranking.hits(found), limit)],
        timing_ms=stages.finish(),
        versions=_versions(stages, found, ranking),
        degraded=[*degraded_query(found), *ranking.degraded],
    )


def _result(hit: Hit, score: float) -> SearchResult:
    return SearchResult(
        id=hit.id,
        score=score,
        title=hit.title,
        text=hit.text,
        article=hit.article,
        metadata=hit.metadata,
    )


def _versions(stages: Stages, found: RetrieveReply, ranking: Ranking) -> dict[str, str]:
    release = stages.release
    versions = {"encode": release.encode, "retrieve": release.retrieve, "index": found.index}
    if found.impl != LAST_VEC:
        versions["query_model"] = found.impl
    if release.rerank is not None and not ranking.degraded:
        versions["rerank"] = release.rerank
    return versions
