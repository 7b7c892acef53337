"""The way of a request: the one place where it is written down.

Each function reads the controls once, at its start; the release it finds there serves the request
to its end, whatever an operator does meanwhile.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import msgspec

from services.gateway.degrade import without_vectors
from services.gateway.explanation import explain
from services.gateway.logbook import Logbook
from services.gateway.ordering import rank
from services.gateway.peers import Peers
from services.gateway.reply import search_reply
from services.gateway.screen import Screen
from services.gateway.stages import Stages
from services.gateway.window import window_of
from trimtab.bus.caller import Caller
from trimtab.contracts.encode import EncodeRequest
from trimtab.contracts.errors import (
    Disabled,
    InvalidMessage,
    InvalidText,
    NotReady,
    TrimtabError,
)
from trimtab.contracts.explain import EXPLAINED, Explanation
from trimtab.contracts.feedback import FeedbackReply, FeedbackRequest
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
)
from trimtab.contracts.retrieve import RetrieveRequest
from trimtab.contracts.tensor import Matrix
from trimtab.control.assignment import bucket_of, role_of, unit_of
from trimtab.control.effective import chosen, routing
from trimtab.control.feed import ControlFeed
from trimtab.worker.sampler import Sampler

NOT_KEPT = "explain: not_kept"
"""Said by a reply whose explanation `trimtab explain` will not find; the reply has it."""


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
    logbook: Logbook | None = None
    """Keeps explanations; without one they are told to who asks and kept nowhere."""
    screen: Screen | None = None
    """Looks at what is to be mapped; without one everything that fits the contract comes in."""
    peers: Peers | None = None
    """Knows what was asked before and hears what was right; without them every search is the first and the last."""

    def stages(self, context: RequestContext) -> Stages:
        """Read the controls once, choose the release once, and return the stages of one request.

        Raises:
            NotReady: there is no control state yet.
            Disabled: the pipeline is closed for this tenant.
        """
        controls = self.feed.required
        route = routing(controls, now=time.time(), leased=self.feed.leased)
        unit = unit_of(context.tenant, context.unit, context.request_id)
        bucket = bucket_of(route.salt, unit)
        role = role_of(bucket, route.weight_bp)
        release = route.release_of(role)
        stamped = replace(
            context, release=release.name, revision=controls.revision, role=role.value
        )
        stages = Stages(self.caller, controls, release, stamped, bucket=bucket)
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
        check_texts(request)
        stages = self.stages(context)
        with self._watched("pipeline_search", stages):
            return await self._search(request, stages)

    async def _search(self, request: SearchRequest, stages: Stages) -> SearchReply:
        release, nprobe = stages.release, stages.chosen("retriever.nprobe")
        explained = request.explain or self._samples(stages.context.request_id)

        impl = stages.query_model()
        context = request.context if impl is not None else []  # nobody else would read it

        encoded = await stages.encode(
            EncodeRequest(
                namespace=release.namespace,
                texts=[*context, request.text],
                tokens=True,
                sparse="query" if stages.sparse else None,
            )
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
                explain=explained,
                session=await self._earlier(request, stages, window.vector),
                sparse=window.sparse,
            )
        )
        ranking = await rank(stages, found, features_of=EXPLAINED if explained else 0)
        if self.peers is not None:
            self.peers.shown(found, ranking, stages)

        reply = search_reply(stages, found, ranking, request.limit)
        if not explained:
            return reply
        explanation = explain(reply, found, ranking, stages, asked=request.explain)
        return await self._keep(reply, explanation)

    async def _earlier(
        self, request: SearchRequest, stages: Stages, vector: Matrix
    ) -> Matrix | None:
        if self.peers is None:
            return None
        namespace = stages.release.namespace
        return await self.peers.earlier(request.session, namespace, stages.context, vector)

    async def feedback(self, request: FeedbackRequest, context: RequestContext) -> FeedbackReply:
        """Tell every gateway which passage of a search was the right one."""
        if self.peers is None:
            raise NotReady("feedback")
        return await self.peers.feedback(request, context)

    def _samples(self, request_id: str) -> bool:
        return self.logbook is not None and self.logbook.samples(request_id)

    async def _keep(self, reply: SearchReply, explanation: Explanation) -> SearchReply:
        """Return the reply; one that asked has its explanation, which is stored by then."""
        if not explanation.asked:
            if self.logbook is not None:
                self.logbook.offer(explanation)
            return reply
        degraded = reply.degraded
        if self.logbook is not None and not await self.logbook.store(explanation):
            degraded = [*degraded, NOT_KEPT]
        return msgspec.structs.replace(reply, degraded=degraded, explanation=explanation)

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

    async def label(self, stages: Stages, call: MapCall) -> MapReply:
        """Return the labels of one output."""
        if self.screen is not None:
            self.screen.check(call)
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
                frameworks=call.frameworks,
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


def check_texts(request: SearchRequest) -> None:
    """Refuse blank texts, which no encoder takes.

    Raises:
        InvalidText: the query is blank.
        InvalidMessage: a text of the context is.
    """
    if not request.text.strip():
        raise InvalidText(0, "is blank")
    if not all(text.strip() for text in request.context):
        raise InvalidMessage("SearchRequest", "a text of the context is blank; leave it out")
