"""Wiring of the gateway: the pipeline behind NATS verbs, behind HTTP and behind the queue of jobs."""

import asyncio
import time

from services.gateway.documents.stream import DocStream
from services.gateway.documents.verbs import Documents
from services.gateway.feedback import Feedback
from services.gateway.http.exchange import Exchange
from services.gateway.http.guard import Guard
from services.gateway.http.health import Health, aggregate
from services.gateway.http.listener import Listener
from services.gateway.http.replays import Replays
from services.gateway.http.routes import Facade, application
from services.gateway.jobs.lag import JobLag
from services.gateway.jobs.pull import Door, JobPull
from services.gateway.jobs.routes import JobRoutes
from services.gateway.jobs.runner import JobRunner, Verb
from services.gateway.jobs.verbs import Jobs
from services.gateway.jobs.verdicts import Patience
from services.gateway.logbook import Logbook
from services.gateway.peers import Peers
from services.gateway.pipeline import Pipeline
from services.gateway.probe import Probe
from services.gateway.screen import Screen
from services.gateway.sessions import Sessions
from services.gateway.settings import GatewaySettings
from services.gateway.shown import Memory
from trimtab.bus import streams
from trimtab.bus.admission import Admission
from trimtab.bus.ending import end
from trimtab.bus.explanations import Explanations
from trimtab.bus.server import Endpoint
from trimtab.contracts import subjects
from trimtab.contracts.documents import DeleteDocuments, GetDocument, PutDocuments
from trimtab.contracts.feedback import FeedbackRequest
from trimtab.contracts.gates import ProbeMap, ProbeSearch
from trimtab.contracts.jobs import JobKind, JobQuery
from trimtab.contracts.pipeline import MapBatchCall, MapCall, SearchRequest
from trimtab.contracts.samples import HealthRequest, Readiness, Sample
from trimtab.control.effective import effective
from trimtab.worker.service import Worker
from trimtab.worker.settings import DeploymentSettings


class Gateway:
    """Opens the pipeline's front doors once there is a control state."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._listener: Listener | None = None
        self._logbook: Logbook | None = None
        self._pull: JobPull | None = None
        self._looking: asyncio.Task[None] | None = None
        self._screen = Screen(
            settings.max_payload_kib * 1024,
            settings.reject_raw_content,
            frozenset(settings.free_text_detectors.split(",")),
        )
        self._guard = Guard(
            settings.keys_required, settings.requests_per_minute, settings.failures_per_minute
        )

    async def load(self, worker: Worker) -> None:
        """Read the state, declare the stream, serve NATS verbs and HTTP."""
        await worker.controls.wait()
        await streams.ensure(worker.connection.jetstream(), streams.docs_stream())

        explanations = Explanations(worker.connection)
        self._logbook = Logbook(explanations, self._settings.explain_sample, worker.log)
        await self._logbook.start()
        peers = self._peers(worker)
        await peers.listen()
        pipeline = Pipeline(
            worker.caller,
            worker.controls,
            worker.sampler,
            self._settings.pool,
            self._logbook,
            self._screen,
            peers,
        )
        documents = Documents(DocStream(worker.connection), pipeline)

        worker.serve(Endpoint("search", subjects.SEARCH, SearchRequest, pipeline.search))
        worker.serve(Endpoint("map_output", subjects.MAP_OUTPUT, MapCall, pipeline.map))
        worker.serve(Endpoint("map_batch", subjects.MAP_BATCH, MapBatchCall, pipeline.map_batch))
        probe = Probe(pipeline)
        worker.serve(Endpoint("probe_search", subjects.PROBE_SEARCH, ProbeSearch, probe.search))
        worker.serve(Endpoint("probe_map", subjects.PROBE_MAP, ProbeMap, probe.map))
        for name, subject, request, verb in (
            ("documents", subjects.DOCUMENTS, PutDocuments, documents.put),
            ("documents_delete", subjects.DOCUMENTS_DELETE, DeleteDocuments, documents.delete),
            ("documents_get", subjects.DOCUMENTS_GET, GetDocument, documents.get),
        ):
            worker.serve(Endpoint(name, subject, request, verb))
        worker.serve(Endpoint("feedback", subjects.FEEDBACK, FeedbackRequest, pipeline.feedback))
        jobs = Jobs(worker.connection)
        worker.serve(Endpoint("job", subjects.JOB, JobQuery, jobs.status, steered=False))
        await self._listen(worker, pipeline, documents, jobs)
        self._work(worker, pipeline, documents)

    async def unload(self, _worker: Worker) -> None:
        """Finish the HTTP requests and jobs in flight, then close."""
        if self._listener is not None:
            await self._listener.stop()
        if self._pull is not None:
            await self._pull.stop(self._settings.drain_timeout_s)
        await end(self._looking)
        await self._guard.stop()
        if self._logbook is not None:
            await self._logbook.stop()

    def _peers(self, worker: Worker) -> Peers:
        chosen = self._settings
        memory = Memory(chosen.feedback_searches, chosen.feedback_ttl_s)
        return Peers(
            worker.connection,
            Sessions(chosen.sessions, chosen.session_ttl_s),
            Feedback(worker.sampler, memory, chosen.feedback_share),
        )

    def _work(self, worker: Worker, pipeline: Pipeline, documents: Documents) -> None:
        chosen = self._settings
        verbs = {
            JobKind.SEARCH: Verb(pipeline.search, chosen.ingest_budget_ms),
            JobKind.MAP: Verb(pipeline.map, chosen.ingest_budget_ms),
            JobKind.INGEST: Verb(documents.put, chosen.ingest_budget_ms),
        }
        patience = Patience(chosen.job_tries, chosen.job_retry_s)
        runner = JobRunner(worker.connection, verbs, patience, worker.log)

        def is_open() -> bool:
            controls = worker.controls.current
            return controls is not None and effective(controls, now=time.time()).open

        def stopping() -> bool:
            return worker.identity.readiness is Readiness.DRAINING

        if chosen.jobs_at_once:
            door = Door(is_open, stopping)
            self._pull = JobPull(worker.connection, runner.work, chosen.jobs_at_once, door)
            self._pull.start()
        lag = JobLag(worker.connection, worker.identity.facts)
        self._looking = asyncio.create_task(lag.run())

    async def _listen(
        self, worker: Worker, pipeline: Pipeline, documents: Documents, jobs: Jobs
    ) -> None:
        admission = Admission("gateway", self._settings.max_in_flight)
        await self._guard.start(worker.connection, worker.log)
        replays = Replays(worker.connection, self._settings.idempotency_ttl_s)
        exchange = Exchange(admission, worker.sampler, worker.log, self._guard, replays)
        routes = JobRoutes(jobs, exchange, self._screen, self._settings.search_budget_ms)

        async def check() -> Health:
            samples = await worker.caller.gather(
                subjects.HEALTH, HealthRequest(), Sample, window_s=self._settings.health_window_s
            )
            feed = worker.controls
            return aggregate(
                samples,
                feed.current,
                worker.identity.version,
                now=time.time(),
                leased=feed.leased,
            )

        facade = Facade(pipeline, documents, routes, exchange, self._screen, self._settings, check)
        app = application(facade, worker.identity.version)
        self._listener = Listener(app, self._settings.api_host, self._settings.api_port)
        port = await self._listener.start()
        worker.identity.facts["api_url"] = f"http://{self._settings.api_host}:{port}"


def build(deployment: DeploymentSettings, settings: GatewaySettings) -> Worker:
    """Return the gateway's worker; connects to nothing."""
    gateway = Gateway(settings)
    return Worker(
        "gateway",
        "HTTP facade and the way of a request",
        deployment,
        settings,
        gateway.load,
        gateway.unload,
    )
