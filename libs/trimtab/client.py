"""The typed client that producers and operators import: ``from trimtab.client import Client``.

One NATS connection, one method per verb; every method returns a contract or raises one typed error
before its deadline.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from nats.aio.client import Client as NatsClient

from trimtab.bus.caller import Caller
from trimtab.bus.connection import DEFAULT_URL, connect
from trimtab.bus.ending import close
from trimtab.bus.explanations import Explanations
from trimtab.contracts import subjects
from trimtab.contracts.documents import (
    DeleteDocuments,
    DeleteReply,
    Document,
    GetDocument,
    PutDocuments,
    PutReply,
    StoredDocument,
)
from trimtab.contracts.errors import NotReady
from trimtab.contracts.evaluation import Evaluation, EvaluationReply
from trimtab.contracts.explain import Explanation
from trimtab.contracts.feedback import FeedbackReply, FeedbackRequest
from trimtab.contracts.gates import ProbedMap, ProbedSearch, ProbeMap, ProbeSearch
from trimtab.contracts.headers import RequestContext, now_ms
from trimtab.contracts.jobs import DEFAULT_DEADLINE_S, Job, JobPriority, JobQuery, JobRecord
from trimtab.contracts.message import encode
from trimtab.contracts.orders import Order, Outcome
from trimtab.contracts.pipeline import (
    MapAnswer,
    MapBatchAnswer,
    MapBatchCall,
    MapCall,
    SearchReply,
    SearchRequest,
)
from trimtab.contracts.retrieve import PUBLIC_TENANT
from trimtab.contracts.samples import HealthRequest, Sample, StatusReply, StatusRequest
from trimtab.jobs.identity import kind_of
from trimtab.jobs.letters import DeadLetters
from trimtab.jobs.outcome import is_final
from trimtab.jobs.queue import JobQueue

DEFAULT_TIMEOUT_S = 5.0
"""Budget of a request that names none."""

_HEALTH_WINDOW_S = 0.3
_PROBE_TIMEOUT_S = 60.0


class Client:
    """Asks a running deployment over NATS."""

    def __init__(self, connection: NatsClient) -> None:
        self._connection = connection
        self._caller = Caller(connection)

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        url: str = DEFAULT_URL,
        *,
        name: str = "client",
        nkey_seed: Path | None = None,
        timeout_s: float = 3.0,
    ) -> AsyncIterator["Client"]:
        """Connect for the length of the block.

        Raises:
            BusUnavailable: NATS does not answer at ``url``.
        """
        connection = await connect(url, name, nkey_seed=nkey_seed, timeout_s=timeout_s)
        try:
            yield cls(connection)
        finally:
            await close(connection)

    @property
    def connection(self) -> NatsClient:
        """The NATS connection, for what this class has no verb for."""
        return self._connection

    async def search(
        self,
        text: str,
        *,
        collection: str = "stdlib",
        limit: int = 10,
        context: Sequence[str] = (),
        exclude: Sequence[str] = (),
        explain: bool = False,
        session: str | None = None,
        tenant: str = PUBLIC_TENANT,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> SearchReply:
        """Return the best passages of ``collection`` that ``tenant`` may see.

        ``context``: texts read or asked before, oldest first, for a contextual query model; ``exclude``:
        ids of passages that must not come out; ``explain``: the reply tells why, and the explanation is kept;
        ``session``: the caller's name for queries that follow each other, for a reranker that looks at them.
        """
        request = SearchRequest(
            text=text,
            collection=collection,
            limit=limit,
            context=list(context),
            exclude=list(exclude),
            explain=explain,
            session=session,
        )
        stamped = self._context(tenant, timeout_s)
        return (await self._caller.call(subjects.SEARCH, request, SearchReply, stamped)).message

    async def feedback(
        self,
        request_id: str,
        passage: str,
        *,
        tenant: str = PUBLIC_TENANT,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        """Say which passage of the search ``request_id`` was the right one; it counts for a sample of them."""
        request = FeedbackRequest(request_id=request_id, passage=passage)
        await self._caller.call(
            subjects.FEEDBACK, request, FeedbackReply, self._context(tenant, timeout_s)
        )

    async def explanation(self, request_id: str, *, tenant: str = PUBLIC_TENANT) -> Explanation:
        """Return why a search was answered as it was; only operators may read what is kept.

        Raises:
            UnknownExplanation: it was not in the sample and did not ask, has expired, or is of another tenant.
        """
        return await Explanations(self._connection).read(request_id, tenant)

    async def map(
        self,
        output: str,
        *,
        detector: str = "text",
        taxonomy: str = "ai-safety",
        threshold: float | None = None,
        frameworks: Sequence[str] | None = None,
        tenant: str = PUBLIC_TENANT,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> MapAnswer:
        """Return the canonical labels of a detector's output or of a text."""
        call = MapCall(
            output=output,
            detector=detector,
            taxonomy=taxonomy,
            threshold=threshold,
            frameworks=None if frameworks is None else list(frameworks),
        )
        context = self._context(tenant, timeout_s)
        return (await self._caller.call(subjects.MAP_OUTPUT, call, MapAnswer, context)).message

    async def map_batch(
        self,
        items: Sequence[MapCall],
        *,
        tenant: str = PUBLIC_TENANT,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> MapBatchAnswer:
        """Map 1 to 100 items; each has its own answer or error."""
        batch = MapBatchCall(items=list(items))
        context = self._context(tenant, timeout_s)
        return (await self._caller.call(subjects.MAP_BATCH, batch, MapBatchAnswer, context)).message

    async def put_documents(
        self,
        collection: str,
        documents: Sequence[Document],
        *,
        tenant: str = PUBLIC_TENANT,
        timeout_s: float = 60.0,
    ) -> PutReply:
        """Add or replace 1 to 64 passages; returns once they are durable.

        ``tenant`` sends them: it may write its own passages and public ones; ``public`` writes for everybody.
        """
        request = PutDocuments(collection=collection, documents=list(documents))
        context = self._context(tenant, timeout_s)
        return (await self._caller.call(subjects.DOCUMENTS, request, PutReply, context)).message

    async def delete_documents(
        self,
        collection: str,
        ids: Sequence[str] = (),
        *,
        articles: Sequence[str] = (),
        tenant: str = PUBLIC_TENANT,
        timeout_s: float = 60.0,
    ) -> DeleteReply:
        """Remove passages and whole articles that ``tenant`` owns; returns once that is durable.

        At most 64 of each; what is not there is counted as missing, so it may be sent again.
        """
        request = DeleteDocuments(collection=collection, ids=list(ids), articles=list(articles))
        context = self._context(tenant, timeout_s)
        subject = subjects.DOCUMENTS_DELETE
        return (await self._caller.call(subject, request, DeleteReply, context)).message

    async def get_document(
        self,
        collection: str,
        name: str,
        *,
        tenant: str = PUBLIC_TENANT,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> StoredDocument:
        """Return the passage with this id as it is stored: ``tenant``'s own, else the public one.

        Raises:
            RemoteError: there is none (``UnknownDocument``), or no such collection.
        """
        request = GetDocument(collection=collection, id=name)
        context = self._context(tenant, timeout_s)
        answer = await self._caller.call(subjects.DOCUMENTS_GET, request, StoredDocument, context)
        return answer.message

    async def submit(
        self,
        request: SearchRequest | MapCall | PutDocuments,
        *,
        job_id: str = "",
        tenant: str = PUBLIC_TENANT,
        priority: JobPriority = JobPriority.NORMAL,
        deadline_s: float = DEFAULT_DEADLINE_S,
    ) -> str:
        """Put a request into the durable queue and return the job's id; it is safe once this returns.

        The same id again within a tenant is the same job: it is found, not done twice. Works while no gateway
        runs. ``deadline_s``: seconds from now after which nobody wants the answer, at most a week.

        Raises:
            Overloaded: the queue is full.
            NotReady: there is no queue yet.
            BusUnavailable: no acknowledgement came; submit it again under the same id.
        """
        now = time.time()
        job = Job(
            id=job_id or uuid.uuid4().hex,
            kind=kind_of(request),
            tenant=tenant,
            priority=priority,
            submitted_at=now,
            deadline_at=now + deadline_s,
            request=encode(request),
        )
        await JobQueue(self._connection).submit(job)
        return job.id

    async def result(
        self, job_id: str, *, tenant: str = PUBLIC_TENANT, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> JobRecord:
        """Return where a job is now; ``trimtab.jobs.outcome.reply_of`` reads its answer.

        Raises:
            RemoteError: there is no such job (``UnknownJob``).
        """
        query, context = JobQuery(id=job_id), self._context(tenant, timeout_s)
        return (await self._caller.call(subjects.JOB, query, JobRecord, context)).message

    async def wait(
        self, job_id: str, *, tenant: str = PUBLIC_TENANT, timeout_s: float = 60.0
    ) -> JobRecord:
        """Return what became of a job once it has ended, or where it is when the time is over."""
        over, pause_s = time.monotonic() + timeout_s, 0.02
        while True:
            record = await self.result(job_id, tenant=tenant)
            if is_final(record) or time.monotonic() + pause_s > over:
                return record
            await asyncio.sleep(pause_s)
            pause_s = min(1.0, pause_s * 1.5)

    @property
    def jobs(self) -> JobQueue:
        """The queue itself, for operators."""
        return JobQueue(self._connection)

    @property
    def dead_letters(self) -> DeadLetters:
        """Jobs that were given up, for operators."""
        return DeadLetters(self._connection)

    async def wait_searchable(self, sequence: int, *, timeout_s: float = 30.0) -> None:
        """Wait until every retriever has applied the stream up to ``sequence``.

        Raises:
            NotReady: one had not when the time was over, or there is no retriever.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while not await self._applied(sequence):  # noqa: ASYNC110 - only asking tells
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise NotReady(f"a retriever at stream sequence {sequence}") from None

    async def status(self, *, timeout_s: float = 2.0, every_alert: bool = False) -> StatusReply:
        """Return the controller's view of every worker; ``every_alert``: with the quiet ones."""
        context = self._context(PUBLIC_TENANT, timeout_s)
        request = StatusRequest(every_alert=every_alert)
        answer = await self._caller.call(subjects.STATUS, request, StatusReply, context)
        return answer.message

    async def order(self, order: Order, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> Outcome:
        """Have a command carried out; returns what became of it.

        Raises:
            NoWorkers: no controller runs.
            RemoteError: it was refused; nothing changed.
        """
        context = self._context(PUBLIC_TENANT, timeout_s)
        return (await self._caller.call(subjects.COMMAND, order, Outcome, context)).message

    async def probe_search(
        self, probe: ProbeSearch, *, timeout_s: float = _PROBE_TIMEOUT_S
    ) -> ProbedSearch:
        """Ask one release one question, whatever its weight; only operators may."""
        context = self._context(PUBLIC_TENANT, timeout_s)
        answer = await self._caller.call(subjects.PROBE_SEARCH, probe, ProbedSearch, context)
        return answer.message

    async def probe_map(self, probe: ProbeMap, *, timeout_s: float = _PROBE_TIMEOUT_S) -> ProbedMap:
        """Ask one release for the labels of one output, whatever its weight; only operators may."""
        context = self._context(PUBLIC_TENANT, timeout_s)
        return (await self._caller.call(subjects.PROBE_MAP, probe, ProbedMap, context)).message

    async def tell(
        self, evaluation: Evaluation, *, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> EvaluationReply:
        """Tell the controllers how good the running search was; returns once that is stored.

        Raises:
            NoWorkers: no controller runs.
            RemoteError: it was refused, or could not be stored.
        """
        context = self._context(PUBLIC_TENANT, timeout_s)
        answer = await self._caller.call(subjects.EVALUATE, evaluation, EvaluationReply, context)
        return answer.message

    async def health(self, *, window_s: float = _HEALTH_WINDOW_S) -> list[Sample]:
        """Ask every worker itself, without the controller; returns those that answered in time."""
        return await self._caller.gather(
            subjects.HEALTH, HealthRequest(), Sample, window_s=window_s
        )

    async def _applied(self, sequence: int) -> bool:
        retrievers = [sample for sample in await self.health() if sample.service == "retriever"]
        return bool(retrievers) and all(
            int(sample.facts.get("applied_sequence", 0)) >= sequence for sample in retrievers
        )

    def _context(self, tenant: str, timeout_s: float) -> RequestContext:
        return RequestContext(uuid.uuid4().hex, tenant, now_ms() + int(timeout_s * 1000))
