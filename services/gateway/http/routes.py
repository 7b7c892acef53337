"""HTTP in, pipeline call, JSON out: the routes of the facade."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Route

from services.gateway.documents.verbs import Documents
from services.gateway.http import openapi
from services.gateway.http.bodies import (
    DocumentsBody,
    EmbeddingsAnswer,
    EmbeddingsBody,
    MapBatchBody,
    MapBatchResult,
    MapBatchResults,
    MapBody,
    MapResult,
    RerankAnswer,
    RerankBody,
)
from services.gateway.http.embedding import embed
from services.gateway.http.exchange import Exchange, in_path, json_response, request_id_of
from services.gateway.http.health import Health
from services.gateway.http.problems import refused
from services.gateway.http.reranking import rerank
from services.gateway.http.summary import summarise
from services.gateway.http.terms import Terms
from services.gateway.jobs.bodies import JobAnswer, JobBody
from services.gateway.jobs.routes import JobRoutes, call_of
from services.gateway.pipeline import Pipeline
from services.gateway.screen import Screen
from services.gateway.settings import GatewaySettings
from trimtab.contracts.documents import (
    DeleteDocuments,
    DeleteReply,
    GetDocument,
    PutDocuments,
    PutReply,
    StoredDocument,
)
from trimtab.contracts.feedback import FeedbackReply, FeedbackRequest
from trimtab.contracts.headers import RequestContext
from trimtab.contracts.pipeline import MapBatchCall, SearchReply, SearchRequest
from trimtab.telemetry.metrics import REGISTRY

HealthCheck = Callable[[], Awaitable[Health]]


class Facade:
    """The routes, bound to one pipeline."""

    def __init__(
        self,
        pipeline: Pipeline,
        documents: Documents,
        jobs: JobRoutes,
        exchange: Exchange,
        screen: Screen,
        settings: GatewaySettings,
        check: HealthCheck,
    ) -> None:
        self.jobs = jobs
        self._mapping = Terms(screen.max_bytes, screen.oversize, keyed=True)
        self._pipeline = pipeline
        self._documents = documents
        self._exchange = exchange
        self._settings = settings
        self._check = check

    @property
    def keys_required(self) -> bool:
        """Whether an API key must come."""
        return self._exchange.guard.required

    async def search(self, request: Request) -> Response:
        """Search a collection."""
        return await self._exchange.answer(
            request,
            "search",
            SearchRequest,
            self._budget_ms,
            self._pipeline.search,
        )

    async def map(self, request: Request) -> Response:
        """Map a detector's output or a text to canonical labels."""

        async def handle(body: MapBody, context: RequestContext) -> MapResult:
            answer = await self._pipeline.map(call_of(body), context)
            return MapResult.of(answer.request_id, answer.release, answer.answer, answer.timing_ms)

        return await self._exchange.answer(
            request, "map", MapBody, self._budget_ms, handle, terms=self._mapping
        )

    async def map_batch(self, request: Request) -> Response:
        """Map 1 to 100 items; each has its own answer or error."""

        async def handle(body: MapBatchBody, context: RequestContext) -> MapBatchResults:
            batch = MapBatchCall(items=[call_of(item) for item in body.requests])
            answer = await self._pipeline.map_batch(batch, context)
            results = [
                MapBatchResult(index=index, answer=item.answer, error=item.error)
                for index, item in enumerate(answer.items)
            ]
            return MapBatchResults(
                request_id=answer.request_id,
                release=answer.release,
                results=results,
                failed=sum(item.error is not None for item in results),
            )

        return await self._exchange.answer(
            request,
            "map_batch",
            MapBatchBody,
            self._budget_ms,
            handle,
            weigh=lambda body: len(body.requests),
            terms=self._mapping,
        )

    async def embeddings(self, request: Request) -> Response:
        """Embed texts, in the shape of OpenAI's endpoint."""

        async def handle(body: EmbeddingsBody, context: RequestContext) -> EmbeddingsAnswer:
            return await embed(body, self._pipeline.stages(context))

        return await self._exchange.answer(
            request,
            "embeddings",
            EmbeddingsBody,
            self._settings.ingest_budget_ms,
            handle,
            weigh=lambda body: 1 if isinstance(body.input, str) else len(body.input),
        )

    async def rerank(self, request: Request) -> Response:
        """Rank texts for a query, in the shape of Cohere's and Jina's endpoint."""

        async def handle(body: RerankBody, context: RequestContext) -> RerankAnswer:
            return await rerank(body, self._pipeline.stages(context))

        return await self._exchange.answer(
            request, "rerank", RerankBody, self._settings.ingest_budget_ms, handle
        )

    async def documents(self, request: Request) -> Response:
        """Add or replace passages; answered once they are durable."""

        async def handle(body: DocumentsBody, context: RequestContext) -> PutReply:
            self._exchange.guard.own((d.tenant for d in body.documents), context.tenant)
            owned = [document.owned_by(context.tenant) for document in body.documents]
            put = PutDocuments(collection=body.collection, documents=owned)
            return await self._documents.put(put, context)

        return await self._exchange.answer(
            request,
            "documents",
            DocumentsBody,
            self._settings.ingest_budget_ms,
            handle,
            terms=Terms(keyed=True),
        )

    async def delete_documents(self, request: Request) -> Response:
        """Remove passages and whole articles of the asking tenant; answered once that is durable."""
        return await self._exchange.answer(
            request,
            "documents_delete",
            DeleteDocuments,
            self._settings.ingest_budget_ms,
            self._documents.delete,
        )

    async def delete_document(self, request: Request) -> Response:
        """Remove one passage of the asking tenant; `deleted` is 0 when it was not there."""

        async def handle(named: GetDocument, context: RequestContext) -> DeleteReply:
            delete = DeleteDocuments(collection=named.collection, ids=[named.id])
            return await self._documents.delete(delete, context)

        return await self._exchange.answer(
            request,
            "documents_delete",
            GetDocument,
            self._settings.ingest_budget_ms,
            handle,
            source=in_path,
        )

    async def document(self, request: Request) -> Response:
        """One passage as it is stored: the asking tenant's own, else the public one."""
        return await self._exchange.answer(
            request,
            "documents_get",
            GetDocument,
            self._settings.ingest_budget_ms,
            self._documents.get,
            source=in_path,
        )

    async def feedback(self, request: Request) -> Response:
        """Say which passage of a search was the right one."""
        return await self._exchange.answer(
            request, "feedback", FeedbackRequest, self._budget_ms, self._pipeline.feedback
        )

    async def health(self, request: Request) -> Response:
        """Health of every service, asked of each worker now."""
        health = await self._check()
        status = 503 if health.status == "down" else 200
        return json_response(health, request_id_of(request), status)

    async def ready(self, _request: Request) -> Response:
        """Whether this gateway should get requests: local state only."""
        ready = self._exchange.sampler.identity.readiness.value == "ready"
        return Response(
            orjson.dumps({"ready": ready}), 200 if ready else 503, media_type="application/json"
        )

    async def metrics(self, _request: Request) -> Response:
        """Metrics of this process, Prometheus text."""
        return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)

    async def metrics_summary(self, _request: Request) -> Response:
        """Metrics of this process as JSON."""
        return Response(orjson.dumps(summarise(REGISTRY)), media_type="application/json")

    def _budget_ms(self, tenant: str) -> int:
        """Deadline of a search or map that names none: what an operator set, else this process's setting."""
        return self._pipeline.budget_ms(tenant, self._settings.search_budget_ms)


def application(facade: Facade, version: str) -> FastAPI:
    """Return the FastAPI app with every route; it starts nothing."""
    app = FastAPI(
        title="Trimtab",
        version=version,
        description=openapi.DESCRIPTION,
        redirect_slashes=False,
    )
    posts: list[tuple[str, Any, Any, Any]] = [
        ("/v1/search", facade.search, SearchRequest, SearchReply),
        ("/v1/map", facade.map, MapBody, MapResult),
        ("/v1/map/batch", facade.map_batch, MapBatchBody, MapBatchResults),
        ("/v1/embeddings", facade.embeddings, EmbeddingsBody, EmbeddingsAnswer),
        ("/v1/rerank", facade.rerank, RerankBody, RerankAnswer),
        ("/v1/documents", facade.documents, DocumentsBody, PutReply),
        ("/v1/documents/delete", facade.delete_documents, DeleteDocuments, DeleteReply),
        ("/v1/feedback", facade.feedback, FeedbackRequest, FeedbackReply),
    ]
    for path, endpoint, body, reply in posts:
        app.post(path, openapi_extra=openapi.post(body), responses=openapi.replies(reply))(endpoint)
    one, named = "/v1/collections/{collection}/documents/{id:path}", openapi.one_document()
    app.get(one, openapi_extra=named, responses=openapi.replies(StoredDocument))(facade.document)
    app.delete(one, openapi_extra=named, responses=openapi.replies(DeleteReply))(
        facade.delete_document
    )
    job: dict[int | str, dict[str, Any]] = openapi.replies(JobAnswer)
    job[202] = {**job[200], "description": "Accepted; not answered yet"}
    app.post("/v1/jobs", openapi_extra=openapi.post(JobBody), responses=job, status_code=202)(
        facade.jobs.submit
    )
    app.get("/v1/jobs/{id}", openapi_extra=openapi.one_job(), responses=job)(facade.jobs.status)
    health: dict[int | str, dict[str, Any]] = openapi.replies(Health, ())
    health[503] = {**health[200], "description": "Down"}
    app.get("/health", responses=health)(facade.health)
    ready: dict[int | str, dict[str, Any]] = openapi.replies(None, ())
    ready[503] = {**ready[200], "description": "Not ready"}
    app.get("/ready", responses=ready)(facade.ready)
    app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})(
        facade.metrics
    )
    app.get("/metrics/summary", responses=openapi.replies(None, ()))(facade.metrics_summary)
    app.exception_handler(HTTPException)(_refuse)
    openapi.install(app, keys_required=facade.keys_required)
    return app


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
    detail = f"{request.method} {request.url.path}: {error.detail}; see /docs"
    response = refused(error.status_code, detail, request_id_of(request))
    response.headers.update(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        response.headers["Allow"] = ", ".join(_allowed(request))
    return response


def _allowed(request: Request) -> list[str]:
    """Return the methods of every route of this path: the framework names those of the first one alone."""
    matching = [
        route
        for route in request.app.routes
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE
    ]
    return sorted({method for route in matching for method in route.methods or ()})
