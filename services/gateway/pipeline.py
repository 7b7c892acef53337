"""The way of a request: the one place where it is written down.

Each function reads the controls once, at its start; the release it finds there serves the request
to its end, whatever an operator does meanwhile.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from services.gateway.degrade import degraded_query, degraded_rerank, without_vectors
from services.gateway.stages import Stages
from services.gateway.window import window_of
from trimtab.bus.caller import Caller
from trimtab.contracts.encode import EncodeRequest
from trimtab.contracts.errors import Disabled, InvalidMessage, InvalidText, TrimtabError
from trimtab.contracts.headers import RequestContext
from trimtab.contracts.mapping import (
    MAX_PARTS,
    FallbackReason,
    MappingMode,
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
from trimtab.contracts.retrieve import LAST_VEC, Hit, RetrieveReply, RetrieveRequest
from trimtab.contracts.tensor import Matrix
from trimtab.control.assignment import bucket_of, role_of, unit_of
from trimtab.control.effective import chosen, routing
from trimtab.control.feed import ControlFeed
from trimtab.worker.sampler import Sampler


@dataclass
class Pipeline:
    """Search and map, over the bus."""

    caller: Caller
    """Over the gateway's connection."""
    feed: ControlFeed
    """Its controls are read once per request."""
    sampler: Sampler
    """Learns how whole requests went, by release and role: what a canary is judged by."""
    pool: int
    """Candidates fetched for the reranker when nobody set ``gateway.pool``."""

    def stages(self, context: RequestContext) -> Stages:
        """Read the controls once, choose the release once, and return the stages of one request.

        Raises:
            NotReady: there is no control state yet.
            Disabled: the pipeline is closed for this tenant.
        """
        controls = self.feed.required
        route = routing(controls, now=time.time(), leased=self.feed.leased)
        unit = unit_of(context.tenant, context.unit, context.request_id)
        role = role_of(bucket_of(route.salt, unit), route.weight_bp)
        release = route.release_of(role)
        stamped = replace(
            context, release=release.name, revision=controls.revision, role=role.value
        )
        stages = Stages(self.caller, controls, release, stamped)
        if not stages.in_force().open:
            raise Disabled("the pipeline")
        return stages

    def budget_ms(self, tenant: str, otherwise: int) -> int:
        """Return the deadline of a request that names none; it is decided before a release is chosen."""
        controls = self.feed.current
        if controls is None:
            return otherwise
        now = time.time()
        name = "gateway.search_budget_ms"
        found = chosen(controls, name, controls.release, now=now, tenant=tenant)
        return otherwise if found is None else int(found)

    async def search(self, request: SearchRequest, context: RequestContext) -> SearchReply:
        """Encode the query, retrieve candidates, rerank them, keep the best.

        Without a reranker the retrieval order stands and the reply says so.
        """
        if not request.text.strip():
            raise InvalidText(0, "is blank")
        if not all(text.strip() for text in request.context):
            raise InvalidMessage("SearchRequest", "a text of the context is blank; leave it out")
        stages = self.stages(context)
        with self._watched("pipeline_search", stages):
            return await self._search(request, stages)

    async def _search(self, request: SearchRequest, stages: Stages) -> SearchReply:
        release, nprobe = stages.release, stages.chosen("retriever.nprobe")

        impl = stages.query_model()
        context = request.context if impl is not None else []  # nobody else would read it

        encoded = await stages.encode(
            EncodeRequest(namespace=release.namespace, texts=[*context, request.text], tokens=True)
        )
        window = window_of(encoded)
        found = await stages.retrieve(
            RetrieveRequest(
                collection=request.collection,
                namespace=release.namespace,
                text=request.text,
                vector=window.vector,
                tokens=window.tokens,
                window=window.rows,
                exclude=request.exclude,
                impl=impl,
                limit=max(int(stages.chosen("gateway.pool") or self.pool), request.limit),
                nprobe=None if nprobe is None else int(nprobe),
            )
        )
        ranked, degraded = await self.rank(stages, found)

        return SearchReply(
            request_id=stages.context.request_id,
            release=release.name,
            results=[_result(hit, score) for hit, score in ranked[: request.limit]],
            timing_ms=stages.finish(),
            versions=_versions(stages, found, degraded),
            degraded=[*degraded_query(found), *degraded],
        )

    async def map(self, call: MapCall, context: RequestContext) -> MapAnswer:
        """Encode each part of the output and map it; without an encoder the rules decide."""
        stages = self.stages(context)
        with self._watched("pipeline_map", stages):
            answer = await self.label(stages, call)
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

    @contextmanager
    def _watched(self, endpoint: str, stages: Stages) -> Iterator[None]:
        outcome = "ok"
        try:
            yield
        except TrimtabError as error:
            outcome = error.code.value
            raise
        finally:
            took_ms = (time.perf_counter() - stages.started) * 1000
            context = stages.context
            self.sampler.observe(endpoint, "", context.release, outcome, took_ms, context.role)

    async def rank(
        self, stages: Stages, found: RetrieveReply
    ) -> tuple[list[tuple[Hit, float]], list[str]]:
        """Return the candidates in their final order, and what this order had to do without."""
        signals, component = found.signals, stages.release.rerank
        if signals is None or not found.hits:
            return [], []
        fused = signals.fused.array()[0].tolist()
        by_retrieval = list(zip(found.hits, fused, strict=True))
        if component is None:
            return by_retrieval, []
        if not stages.in_force().reranker_on:
            return by_retrieval, [degraded_rerank(Disabled("the reranker"))]
        try:
            reply = await stages.rerank(RerankRequest(signals=signals), component)
        except TrimtabError as error:
            return by_retrieval, [degraded_rerank(error)]
        return [(found.hits[i], reply.scores[i]) for i in reply.order], []

    async def label(self, stages: Stages, call: MapCall) -> MapReply:
        """Return the labels of one output."""
        parts = parts_of(call.output)
        if len(parts) > MAX_PARTS:
            raise InvalidMessage("MapCall", f"output has {len(parts)} parts, at most {MAX_PARTS}")
        mode = stages.in_force(call.detector).mapper_mode
        if mode is MappingMode.RULES_ONLY:
            vectors: Matrix | None = None
            fallback: FallbackReason | None = FallbackReason.KILL_SWITCH
        else:
            vectors, fallback = await self._vectors(stages, call.detector, parts)
        threshold = stages.chosen(f"mapper.confidence_threshold.{call.detector}")
        return await stages.map(
            MapRequest(
                taxonomy=call.taxonomy,
                detector=call.detector,
                output=call.output,
                vectors=vectors,
                mode=mode,
                fallback=fallback,
                threshold=threshold if call.threshold is None else call.threshold,
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
            with self._watched("pipeline_map", stages):
                return MapBatchItem(answer=await self.label(stages, item), error=None)
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


def _versions(stages: Stages, found: RetrieveReply, degraded: list[str]) -> dict[str, str]:
    release = stages.release
    versions = {"encode": release.encode, "retrieve": release.retrieve, "index": found.index}
    if found.impl != LAST_VEC:
        versions["query_model"] = found.impl
    if release.rerank is not None and not degraded:
        versions["rerank"] = release.rerank
    return versions
