"""A real worker process with a known capacity: the rerank stage with ``lanes`` places of ``service_ms`` each.

For drills of the bus and the worker's life, where a model would only add its own noise. Every request
that reaches the handler is written to a journal before work begins, so that a drill knows what a
killed process held.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from trimtab.bus.server import Endpoint
from trimtab.contracts import subjects
from trimtab.contracts.headers import RequestContext
from trimtab.contracts.rerank import RerankReply, RerankRequest
from trimtab.contracts.retrieve import Signals
from trimtab.contracts.tensor import Matrix
from trimtab.worker.service import Worker, run
from trimtab.worker.settings import DeploymentSettings, WorkerSettings

MODULE = "tests.drills.slow_worker"
COMPONENT = "slow@1"
SUBJECT = subjects.rerank(COMPONENT)


class SlowSettings(WorkerSettings):
    """How much it can do."""

    model_config = SettingsConfigDict(env_prefix="RERANKER_")

    lanes: int = Field(default=1, ge=1)
    """Requests worked on at once; the others that were admitted wait."""
    service_ms: float = Field(default=10.0, gt=0)
    """Time each takes."""
    journal: Path
    """File that gets one request id per line."""


def request(candidates: int = 3) -> RerankRequest:
    """Return a request that any reranker would take."""
    row = Matrix.of(np.linspace(1.0, 0.1, candidates, dtype=np.float32)[np.newaxis])
    gram = Matrix.of(np.eye(candidates, dtype=np.float16))
    signals = Signals(
        fused=row, cosine=row, bm25=row, maxsim=row, gram=gram, articles=list(range(candidates))
    )
    return RerankRequest(signals=signals)


def received(journal: Path) -> list[str]:
    """Return the ids of the requests that a worker began or queued, oldest first."""
    return journal.read_text().split() if journal.exists() else []


def _handler(
    settings: SlowSettings,
) -> Callable[[RerankRequest, RequestContext], Awaitable[RerankReply]]:
    lanes = asyncio.Semaphore(settings.lanes)

    async def rerank(asked: RerankRequest, context: RequestContext) -> RerankReply:
        with settings.journal.open("a") as journal:
            journal.write(f"{context.request_id}\n")
        async with lanes:
            await asyncio.sleep(settings.service_ms / 1000)
        scores = asked.signals.fused.array()[0].tolist()
        return RerankReply(
            order=list(range(len(scores))), scores=scores, moved=0, first_changed=False
        )

    return rerank


def build() -> Worker:
    """Return the worker; connects to nothing."""
    settings = SlowSettings.load()  # the journal comes from the environment

    async def load(worker: Worker) -> None:
        handler = _handler(settings)
        worker.serve(Endpoint("rerank", SUBJECT, RerankRequest, handler, COMPONENT))

    return Worker("reranker", "Takes its time", DeploymentSettings.load(), settings, load)


if __name__ == "__main__":
    run(build)
