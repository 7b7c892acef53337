"""Stages that answer at once and keep what they were asked: for tests of the gateway between them.

Six candidates, p0 the best as retrieved; the reranker turns their order round.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from services.gateway.app import build as build_gateway
from services.gateway.settings import GatewaySettings
from tests.workers import deployment
from trimtab.bus.local_server import LocalServer
from trimtab.bus.server import Endpoint
from trimtab.contracts import subjects
from trimtab.contracts.component import Release
from trimtab.contracts.encode import EncodeReply, EncodeRequest
from trimtab.contracts.headers import RequestContext
from trimtab.contracts.rerank import RerankReply, RerankRequest
from trimtab.contracts.retrieve import Hit, RetrieveReply, RetrieveRequest, Signals
from trimtab.contracts.tensor import Matrix
from trimtab.worker.service import Worker
from trimtab.worker.settings import WorkerSettings

CANDIDATES = 6
LAST = f"p{CANDIDATES - 1}"
"""First for who is reranked, sixth for who is not."""


def vector_of(text: str) -> np.ndarray:
    """Return the unit vector that the encoder gives a text."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
    row = np.random.default_rng(seed).standard_normal(8)
    unit: np.ndarray = (row / np.linalg.norm(row)).astype(np.float32)
    return unit


@dataclass
class MadeStages:
    """Encoder, retriever and reranker of one release."""

    server: LocalServer
    home: Path
    release: Release
    asked: list[RetrieveRequest] = field(default_factory=list)
    """Of the retriever, in order."""

    def workers(self) -> list[Worker]:
        """Return one worker of each stage; connects to nothing."""
        release = self.release
        assert release.rerank is not None
        endpoints = {
            "encoder": (
                release.encode,
                subjects.encode(release.encode),
                EncodeRequest,
                self._encode,
            ),
            "retriever": (
                release.retrieve,
                subjects.retrieve(release.retrieve),
                RetrieveRequest,
                self._retrieve,
            ),
            "reranker": (
                release.rerank,
                subjects.rerank(release.rerank),
                RerankRequest,
                self._rerank,
            ),
        }
        return [
            self._worker(service, Endpoint(service, subject, kind, handler, component))  # type: ignore[arg-type]
            for service, (component, subject, kind, handler) in endpoints.items()
        ]

    def gateway(self, instance: str) -> Worker:
        """Return a gateway that remembers every search."""
        settings = GatewaySettings(
            instance=instance, api_port=0, feedback_share=1.0, explain_sample=0.0
        )
        return build_gateway(deployment(self.server, self.home), settings)

    def _worker(self, service: str, endpoint: Endpoint) -> Worker:
        async def load(worker: Worker) -> None:
            worker.serve(endpoint)

        settings = WorkerSettings(instance=f"{service}-0")
        return Worker(
            service, "answers at once", deployment(self.server, self.home), settings, load
        )

    async def _encode(self, request: EncodeRequest, _context: RequestContext) -> EncodeReply:
        return EncodeReply(
            namespace=request.namespace,
            vectors=Matrix.of(np.stack([vector_of(text) for text in request.texts])),
            token_counts=[1] * len(request.texts),
            truncated=0,
            cached=0,
        )

    async def _retrieve(self, request: RetrieveRequest, _context: RequestContext) -> RetrieveReply:
        self.asked.append(request)
        row = Matrix.of(np.linspace(1.0, 0.1, CANDIDATES, dtype=np.float32)[np.newaxis])
        hits = [
            Hit(id=f"p{n}", article="a", title="", text="", metadata={}, tenant="public")
            for n in range(CANDIDATES)
        ]
        signals = Signals(
            fused=row,
            cosine=row,
            bm25=row,
            maxsim=None,
            gram=Matrix.of(np.eye(CANDIDATES, dtype=np.float16)),
            articles=[0] * CANDIDATES,
        )
        return RetrieveReply(
            collection=request.collection, index="made@1", hits=hits, signals=signals
        )

    async def _rerank(self, request: RerankRequest, _context: RequestContext) -> RerankReply:
        count = request.signals.fused.dim
        return RerankReply(
            order=list(range(count))[::-1],
            scores=np.linspace(0.1, 0.9, count).tolist(),
            moved=count,
            first_changed=True,
        )
