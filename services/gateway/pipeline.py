"""The way of a request: the one place where it is written down.

Each function reads the controls once, at its start; the release it finds there serves the request
to its end, whatever an operator does meanwhile.
"""

import asyncio
from dataclasses import dataclass, replace

from services.gateway.degrade import degraded_rerank, without_vectors
from services.gateway.stages import Stages
from trimtab.bus.caller import Caller
from trimtab.contracts.encode import EncodeRequest
from trimtab.contracts.errors import InvalidMessage, InvalidText, TrimtabError
from trimtab.contracts.headers import RequestContext
from trimtab.contracts.mapping import (
    MAX_PARTS,
    FallbackReason,
    MapReply,
    MapRequest,
    parts_of,
    text_of,
)
from trimtab.contracts.pipeline import (
    MapAnswer,
    MapBatchAnswer,
    MapBatchCall,
    MapBatchItem,
    MapCall,
    SearchReply,
    SearchRequest,
    SearchResult,
)
from trimtab.contracts.rerank import RerankRequest
from trimtab.contracts.retrieve import Hit, RetrieveReply, RetrieveRequest
from trimtab.contracts.tensor import Matrix
from trimtab.control.state import StateReference


@dataclass
class Pipeline:
    """Search and map, over the bus."""

    caller: Caller
    """Over the gateway's connection."""
    state: StateReference
    """Read once per request."""
    pool: int
    """Candidates fetched for the reranker."""

    def stages(self, context: RequestContext) -> Stages:
        """Read the controls once and return the stages of one request."""
        controls = self.state.current
        stamped = replace(context, release=controls.release.name, revision=controls.revision)
        return Stages(self.caller, controls.release, stamped)

    async def search(self, request: SearchRequest, context: RequestContext) -> SearchReply:
        """Encode the query, retrieve candidates, rerank them, keep the best.

        Without a reranker the retrieval order stands and the reply says so.
        """
        if not request.text.strip():
            raise InvalidText(0, "is blank")
        stages = self.stages(context)
        release = stages.release

        encoded = await stages.encode(
            EncodeRequest(namespace=release.namespace, texts=[request.text], tokens=True)
        )
        found = await stages.retrieve(
            RetrieveRequest(
                collection=request.collection,
                namespace=release.namespace,
                text=request.text,
                vector=encoded.vectors,
                tokens=encoded.tokens,
                limit=max(self.pool, request.limit),
            )
        )
        ranked, degraded = await self._rank(stages, found)

        return SearchReply(
            request_id=context.request_id,
            release=release.name,
            results=[_result(hit, score) for hit, score in ranked[: request.limit]],
            timing_ms=stages.finish(),
            versions=_versions(stages, found.index, degraded),
            degraded=degraded,
        )

    async def map(self, call: MapCall, context: RequestContext) -> MapAnswer:
        """Encode each part of the output and map it; without an encoder the rules decide."""
        stages = self.stages(context)
        answer = await self._map(stages, call)
        return MapAnswer(
            request_id=context.request_id,
            release=stages.release.name,
            answer=answer,
            timing_ms=stages.finish(),
        )

    async def map_batch(self, batch: MapBatchCall, context: RequestContext) -> MapBatchAnswer:
        """Map every item at once under one release; one item's error leaves the others alone."""
        stages = self.stages(context)
        items = await asyncio.gather(*(self._map_item(stages, item) for item in batch.items))
        return MapBatchAnswer(
            request_id=context.request_id, release=stages.release.name, items=list(items)
        )

    async def _rank(
        self, stages: Stages, found: RetrieveReply
    ) -> tuple[list[tuple[Hit, float]], list[str]]:
        signals, component = found.signals, stages.release.rerank
        if signals is None or not found.hits:
            return [], []
        fused = signals.fused.array()[0].tolist()
        by_retrieval = list(zip(found.hits, fused, strict=True))
        if component is None:
            return by_retrieval, []
        try:
            reply = await stages.rerank(RerankRequest(signals=signals), component)
        except TrimtabError as error:
            return by_retrieval, [degraded_rerank(error)]
        return [(found.hits[i], reply.scores[i]) for i in reply.order], []

    async def _map(self, stages: Stages, call: MapCall) -> MapReply:
        parts = parts_of(call.output)
        if len(parts) > MAX_PARTS:
            raise InvalidMessage("MapCall", f"output has {len(parts)} parts, at most {MAX_PARTS}")
        vectors, fallback = await self._vectors(stages, call.detector, parts)
        return await stages.map(
            MapRequest(
                taxonomy=call.taxonomy,
                detector=call.detector,
                output=call.output,
                vectors=vectors,
                fallback=fallback,
                threshold=call.threshold,
            )
        )

    async def _vectors(
        self, stages: Stages, detector: str, parts: list[str]
    ) -> tuple[Matrix | None, FallbackReason | None]:
        if not parts:
            return None, None
        texts = [text_of(detector, part) for part in parts]
        try:
            reply = await stages.try_encode(
                EncodeRequest(namespace=stages.release.namespace, texts=texts)
            )
        except TrimtabError as error:
            return None, without_vectors(error)
        return reply.vectors, None

    async def _map_item(self, stages: Stages, item: MapCall) -> MapBatchItem:
        try:
            return MapBatchItem(answer=await self._map(stages, item), error=None)
        except TrimtabError as error:
            return MapBatchItem(answer=None, error=error.reply())


def _result(hit: Hit, score: float) -> SearchResult:
    return SearchResult(
        id=hit.id,
        score=score,
        title=hit.title,
        text=hit.text,
        article=hit.article,
        metadata=hit.metadata,
    )


def _versions(stages: Stages, index: str, degraded: list[str]) -> dict[str, str]:
    release = stages.release
    versions = {"encode": release.encode, "retrieve": release.retrieve, "index": index}
    if release.rerank is not None and not degraded:
        versions["rerank"] = release.rerank
    return versions
