"""One call to one stage: subject, span, clock and metric, so that the request path reads as a list."""

import asyncio
import time
from dataclasses import dataclass, field, replace
from typing import TypeVar

from trimtab.bus.caller import RETRIES, Caller
from trimtab.contracts import subjects
from trimtab.contracts.component import Release
from trimtab.contracts.documents import FindPassages, FoundPassages
from trimtab.contracts.encode import EncodeReply, EncodeRequest
from trimtab.contracts.headers import RequestContext
from trimtab.contracts.mapping import MapReply, MapRequest
from trimtab.contracts.message import Message
from trimtab.contracts.rerank import RerankReply, RerankRequest
from trimtab.contracts.retrieve import (
    LAST_VEC,
    RetrieveReply,
    RetrieveRequest,
    ScoreReply,
    ScoreRequest,
)
from trimtab.control.effective import Controls, Effective, chosen, effective, query_model
from trimtab.control.tunables import SPARSE
from trimtab.telemetry.metrics import GATEWAY_STAGE_DURATION
from trimtab.telemetry.traces import client_span

M = TypeVar("M", bound=Message)

RESERVE = 0.2
"""Part of the time left that a stage which the answer can do without must leave, or it would take the answer
with it: a frozen reranker answers nobody, and its callers learn that at the deadline they gave."""

CALLS_AT_ONCE = 16
"""Of one request: a batch of 100 would else fill a stage alone and be shed by it, item by item."""


@dataclass
class Stages:
    """The four stages as one request sees them: its release and its context, fixed at its start."""

    caller: Caller
    """Over the gateway's connection."""
    controls: Controls
    """Read once; a change meanwhile is for the next request."""
    release: Release
    """Chosen once by the unit's bucket; every stage obeys it."""
    context: RequestContext
    """Carried through all stages."""
    timing_ms: dict[str, float] = field(default_factory=dict)
    """Milliseconds of each stage as the gateway saw it."""
    started: float = field(default_factory=time.perf_counter)
    """When the request began."""
    bucket: int = 0
    """Hash slot of the unit, 0-9999: what decided the role."""
    instances: dict[str, str] = field(default_factory=dict)
    """Worker that answered each stage, the last one where several did."""
    now: float = field(default_factory=time.time)
    """The same in unix seconds: expiry is decided at this instant for the whole request."""
    retries: int = field(init=False)
    """Extra tries after a worker shed a call."""
    _places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CALLS_AT_ONCE))

    def __post_init__(self) -> None:
        found = self.chosen("gateway.retries")
        self.retries = RETRIES if found is None else int(found)

    def in_force(self, detector: str = "") -> Effective:
        """Return the switches in force for this request's tenant."""
        return effective(self.controls, now=self.now, tenant=self.context.tenant, detector=detector)

    def chosen(self, name: str) -> float | int | None:
        """Return a tunable that somebody chose for this request, else None."""
        return chosen(self.controls, name, self.release, now=self.now, tenant=self.context.tenant)

    @property
    def sparse(self) -> bool:
        """Whether queries and passages of this request get learned sparse vectors, where the encoder makes them."""
        return bool(self.chosen(SPARSE))

    def query_model(self) -> str | None:
        """Return the query model in force; None for the query's own vector."""
        name = query_model(self.controls, self.release, now=self.now, tenant=self.context.tenant)
        return None if name == LAST_VEC else name

    async def encode(self, request: EncodeRequest) -> EncodeReply:
        """Texts to vectors."""
        subject = subjects.encode(self.release.encode)
        return await self._call("encode", subject, self.release.encode, request, EncodeReply)

    async def try_encode(self, request: EncodeRequest) -> EncodeReply:
        """Texts to vectors, giving up early enough to answer without them."""
        subject = subjects.encode(self.release.encode)
        early = self._early()
        return await self._call("encode", subject, self.release.encode, request, EncodeReply, early)

    async def retrieve(self, request: RetrieveRequest) -> RetrieveReply:
        """Vector to candidates."""
        subject = subjects.retrieve(self.release.retrieve)
        return await self._call("retrieve", subject, self.release.retrieve, request, RetrieveReply)

    async def score(self, request: ScoreRequest) -> ScoreReply:
        """Loose texts to signals."""
        subject = subjects.score(self.release.retrieve)
        return await self._call("score", subject, self.release.retrieve, request, ScoreReply)

    async def passages(self, request: FindPassages) -> FoundPassages:
        """Articles to the ids of their passages."""
        subject = subjects.passages(self.release.retrieve)
        return await self._call("passages", subject, self.release.retrieve, request, FoundPassages)

    async def rerank(self, request: RerankRequest, component: str) -> RerankReply:
        """Signals to a better order, giving up early enough to answer in the order that they have."""
        subject = subjects.rerank(component)
        return await self._call("rerank", subject, component, request, RerankReply, self._early())

    async def map(self, request: MapRequest) -> MapReply:
        """Output to labels."""
        subject = subjects.mapping(self.release.map)
        return await self._call("map", subject, self.release.map, request, MapReply)

    def finish(self) -> dict[str, float]:
        """Return the time split, the total included, rounded to microseconds."""
        self.timing_ms["total"] = (time.perf_counter() - self.started) * 1000
        return {stage: round(took, 3) for stage, took in self.timing_ms.items()}

    def _early(self) -> RequestContext:
        reserve_ms = int(RESERVE * max(0.0, self.context.remaining_ms()))
        return replace(self.context, deadline_ms=self.context.deadline_ms - reserve_ms)

    async def _call(
        self,
        stage: str,
        subject: str,
        component: str,
        request: Message,
        kind: type[M],
        context: RequestContext | None = None,
    ) -> M:
        began = time.perf_counter()
        try:
            async with self._places:
                with client_span(stage, component, context or self.context) as traced:
                    answer = await self.caller.call(
                        subject, request, kind, traced, retries=self.retries
                    )
                    self.instances[stage] = answer.instance
                    return answer.message
        finally:
            took = time.perf_counter() - began
            self.timing_ms[stage] = self.timing_ms.get(stage, 0.0) + took * 1000
            GATEWAY_STAGE_DURATION.labels(stage).observe(took)
