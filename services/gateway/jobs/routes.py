"""Jobs over HTTP: a body becomes a job, a record becomes an answer or a problem."""

import time
import uuid

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.http.bodies import MapBody
from services.gateway.http.exchange import Exchange, in_path
from services.gateway.http.terms import Terms
from services.gateway.jobs.bodies import (
    IngestWork,
    JobAnswer,
    JobBody,
    JobName,
    MapWork,
    SearchWork,
)
from services.gateway.jobs.verbs import Jobs
from services.gateway.pipeline import check_texts
from services.gateway.screen import Screen
from trimtab.contracts.documents import PutDocuments
from trimtab.contracts.headers import RequestContext
from trimtab.contracts.jobs import Job, JobKind, JobQuery, JobRecord, JobState
from trimtab.contracts.keys import Scope
from trimtab.contracts.message import Message, encode
from trimtab.contracts.pipeline import MapCall
from trimtab.jobs.outcome import is_final, reply_of

_SCOPES = {
    JobKind.SEARCH.value: Scope.SEARCH,
    JobKind.MAP.value: Scope.MAP,
    JobKind.INGEST.value: Scope.WRITE,
}
_KINDS: dict[type, JobKind] = {
    SearchWork: JobKind.SEARCH,
    MapWork: JobKind.MAP,
    IngestWork: JobKind.INGEST,
}


class JobRoutes:
    """``POST /v1/jobs`` and ``GET /v1/jobs/{id}``."""

    def __init__(self, jobs: Jobs, exchange: Exchange, screen: Screen, budget_ms: int) -> None:
        self._jobs = jobs
        self._screen = screen
        self._exchange = exchange
        self._budget_ms = budget_ms

    async def submit(self, request: Request) -> Response:
        """Put a job into the durable queue: 202 once it is safe; the same job again is found, not done twice."""

        async def handle(body: JobBody, context: RequestContext) -> JobAnswer:
            return _answer(await self._jobs.submit(self._job(body, context)))

        return await self._exchange.answer(
            request,
            "jobs",
            JobBody,
            self._budget_ms,
            handle,
            terms=Terms(keyed=True, asks=lambda b: _SCOPES[_KINDS[type(b.work)]], status=_status),
        )

    async def status(self, request: Request) -> Response:
        """What became of a job: 202 while it waits, 200 with its result, or the problem that ended it."""

        async def handle(named: JobName, context: RequestContext) -> JobAnswer:
            return _answer(await self._jobs.status(JobQuery(id=named.id), context))

        return await self._exchange.answer(
            request,
            "job",
            JobName,
            self._budget_ms,
            handle,
            source=in_path,
            terms=Terms(shows=lambda answer: _SCOPES[answer.kind], status=_status),
        )

    def _job(self, body: JobBody, context: RequestContext) -> Job:
        now = time.time()
        return Job(
            id=body.id or uuid.uuid4().hex,
            kind=_KINDS[type(body.work)],
            tenant=context.tenant,
            priority=body.priority,
            submitted_at=now,
            deadline_at=now + body.deadline_s,
            request=encode(self._request(body.work, context.tenant)),
            unit=context.unit,
        )

    def _request(self, work: SearchWork | MapWork | IngestWork, tenant: str) -> Message:
        """Return the request of a job, refused now where it would be later: what may not come in is not queued."""
        match work:
            case SearchWork():
                check_texts(work.request)
                return work.request
            case MapWork():
                call = call_of(work.request)
                self._screen.check(call)
                return call
            case IngestWork():
                self._exchange.guard.own((d.tenant for d in work.request.documents), tenant)
                owned = [document.owned_by(tenant) for document in work.request.documents]
                return PutDocuments(collection=work.request.collection, documents=owned)


def call_of(body: MapBody) -> MapCall:
    """Return the contract of a mapping body."""
    return MapCall(
        output=body.output,
        detector=body.detector,
        taxonomy=body.taxonomy,
        threshold=body.threshold,
        frameworks=body.frameworks,
    )


def _answer(record: JobRecord) -> JobAnswer:
    """Return the answer for a record; raises the RemoteError that ended the job."""
    if not is_final(record):
        return JobAnswer.of(record, None)
    return JobAnswer.of(record, msgspec.to_builtins(reply_of(record)))


def _status(answer: JobAnswer) -> int:
    return 202 if answer.state == JobState.PENDING.value else 200
