"""Wiring of the reranker: every component of the settings, and of the releases in force, on its own subject."""

import asyncio

from services.reranker.component import Component, load_component
from services.reranker.ranking import FIRST_CHANGED, rank
from services.reranker.settings import RerankerSettings
from trimtab.artifacts.manifest import ArtifactError
from trimtab.artifacts.shipped import shipped
from trimtab.artifacts.store import provide
from trimtab.bus.server import Endpoint, Handler
from trimtab.contracts import subjects
from trimtab.contracts.headers import RequestContext
from trimtab.contracts.rerank import RerankReply, RerankRequest
from trimtab.contracts.samples import Readiness
from trimtab.telemetry.metrics import RERANKER_FIRST_CHANGED
from trimtab.worker.service import Worker
from trimtab.worker.settings import DeploymentSettings

_ENDPOINT = "rerank"


def build(deployment: DeploymentSettings, settings: RerankerSettings) -> Worker:
    """Return the reranker's worker; connects to nothing."""

    async def serve(worker: Worker, reference: str) -> None:
        """Load one component and answer for it; raises ArtifactError when it cannot be trusted or found."""
        cache = worker.deployment.home / "components"
        build_shipped = shipped(settings.shipped)
        folder, _ = await provide(worker.connection, reference, cache, build_shipped)
        component = await asyncio.to_thread(load_component, folder)
        subject = subjects.rerank(reference)
        handler = _handler(worker, component)
        worker.serve(Endpoint(_ENDPOINT, subject, RerankRequest, handler, reference))
        worker.loaded(reference, component.content_hash)

    async def load(worker: Worker) -> None:
        """Serve what can be served: whoever asks for another component learns at once that nobody does."""
        refused = []
        for reference in dict.fromkeys(settings.components):
            try:
                await serve(worker, reference)
            except ArtifactError as error:
                refused.append(f"{reference} is not served: {error.detail}")
                worker.log.warning(
                    "component_refused", component=reference, error=type(error).__name__
                )
        if refused:
            worker.feel(Readiness.DEGRADED, "; ".join(refused))

    return Worker(
        "reranker",
        "Puts candidates into a better order",
        deployment,
        settings,
        load,
        stage="rerank",
        load_component=serve,
    )


def _handler(worker: Worker, component: Component) -> Handler:
    first_changed = RERANKER_FIRST_CHANGED.labels(component.reference)

    async def rerank(request: RerankRequest, context: RequestContext) -> RerankReply:
        # On the loop: a thread hop costs more than the work.
        ranked = rank(request.signals, component, request.features_of)
        for event in ranked.bad:
            worker.sampler.bad(_ENDPOINT, component.reference, context, event)
        if FIRST_CHANGED in ranked.bad:
            first_changed.inc()
        return ranked.reply

    return rerank
