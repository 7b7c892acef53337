"""One search as the gateway sees it, made by hand: what its stages answered."""

from typing import Any, cast

import numpy as np

from services.gateway.stages import Stages
from trimtab.bus.caller import Answer, Caller
from trimtab.contracts.component import Release
from trimtab.contracts.control import ControlState, KillLane
from trimtab.contracts.errors import TrimtabError
from trimtab.contracts.headers import RequestContext, now_ms
from trimtab.contracts.message import Message
from trimtab.contracts.rerank import FeatureValues, RerankReply, RerankRequest
from trimtab.contracts.retrieve import Hit, IndexUse, RetrieveReply, Signals
from trimtab.contracts.tensor import Matrix
from trimtab.control.effective import Controls

RELEASE = Release(
    name="next",
    encode="minilm@1",
    retrieve="hybrid@1",
    rerank="mlp@1",
    map="head@1",
    namespace="space.v1",
)
SECRET = "nobody may read this"
"""Text, title and metadata of every passage."""


class Reranker:
    """A caller behind which a reranker turns the order round, or fails."""

    def __init__(self, failure: TrimtabError | None = None) -> None:
        self.failure = failure
        self.asked: list[RerankRequest] = []

    async def call(
        self, _subject: str, request: Message, _kind: object, _context: object, *, retries: int
    ) -> Answer[Any]:
        assert isinstance(request, RerankRequest)
        assert retries >= 0
        self.asked.append(request)
        if self.failure is not None:
            raise self.failure
        count = request.signals.fused.dim
        order = list(reversed(range(count)))
        told = order[: request.features_of]
        values = np.array([[position, -position] for position in told], dtype=np.float32)
        reply = RerankReply(
            order=order,
            scores=[(1 + position) / (1 + count) for position in range(count)],
            moved=count,
            first_changed=True,
            features=FeatureValues(
                names=["cosine", "margin"], positions=told, values=Matrix.of(values)
            )
            if told
            else None,
        )
        return Answer(reply, "mlp@1", "reranker-1")


def stages(caller: Reranker) -> Stages:
    """The stages of one request of the tenant acme, served by the canary."""
    state = ControlState(
        operation="o", stable="next", releases={"next": RELEASE}, actor="test", reason="test"
    )
    controls = Controls(state, 9, KillLane(operation="o", kills=[]), 0)
    context = RequestContext(
        "r-1", "acme", now_ms() + 60_000, release="next", revision=9, role="canary"
    )
    return Stages(cast("Caller", caller), controls, RELEASE, context, bucket=17)


def found(count: int, *, tokens: bool = True, sparse: bool = False) -> RetrieveReply:
    """A pool of ``count`` passages, two to an article, cosine and all else falling."""
    falling = np.linspace(0.9, 0.1, count, dtype=np.float32)
    row = Matrix.of(falling[np.newaxis])
    signals = Signals(
        fused=Matrix.of(falling[np.newaxis] + 1),
        cosine=row,
        bm25=Matrix.of(falling[np.newaxis] * 10),
        maxsim=row if tokens else None,
        sparse=Matrix.of(falling[np.newaxis] * 20) if sparse else None,
        gram=Matrix.of(np.zeros((count, count), dtype=np.float16)),
        articles=[position // 2 for position in range(count)],
    )
    hits = [
        Hit(
            id=f"p{position}",
            article=SECRET,
            title=SECRET,
            text=SECRET,
            metadata={"note": SECRET},
            tenant="acme",
        )
        for position in range(count)
    ]
    return RetrieveReply(
        collection="docs",
        index="docs@42",
        hits=hits,
        signals=signals if count else None,
        search=IndexUse(
            kind="ivf", lists=90, nprobe=8, visited=32, exact=False, took_ms={"dense": 0.5}
        ),
    )
