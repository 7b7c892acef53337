"""Wiring of the gateway: the pipeline behind NATS verbs and behind HTTP."""

from services.gateway.docstream import DocStream
from services.gateway.documents import Documents
from services.gateway.exchange import Exchange
from services.gateway.feedback import Feedback
from services.gateway.guard import Guard
from services.gateway.health import Health, aggregate
from services.gateway.http import Facade, application
from services.gateway.listener import Listener
from services.gateway.logbook import Logbook
from services.gateway.peers import Peers
from services.gateway.pipeline import Pipeline
from services.gateway.probe import Probe
from services.gateway.sessions import Sessions
from services.gateway.settings import GatewaySettings
from services.gateway.shown import Memory
from trimtab.bus import streams
from trimtab.bus.admission import Admission
from trimtab.bus.explanations import Explanations
from trimtab.bus.server import Endpoint
from trimtab.contracts import subjects
from trimtab.contracts.documents import DeleteDocuments, GetDocument, PutDocuments
from trimtab.contracts.feedback import FeedbackRequest
from trimtab.contracts.gates import ProbeMap, ProbeSearch
from trimtab.contracts.pipeline import MapBatchCall, MapCall, SearchRequest
from trimtab.contracts.samples import HealthRequest, Sample
from trimtab.worker.service import Worker
from trimtab.worker.settings import DeploymentSettings


class Gateway:
    """Opens the pipeline's front doors once there is a control state."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._listener: Listener | None = None
        self._logbook: Logbook | None = None
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
        await self._listen(worker, pipeline, documents)

    async def unload(self, _worker: Worker) -> None:
        """Finish the HTTP requests in flight, then close."""
        if self._listener is not None:
            await self._listener.stop()
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

    async def _listen(self, worker: Worker, pipeline: Pipeline, documents: Documents) -> None:
        admission = Admission("gateway", self._settings.max_in_flight)
        await self._guard.start(worker.connection, worker.log)
        exchange = Exchange(admission, worker.sampler, worker.log, self._guard)

        async def check() -> Health:
            samples = await worker.caller.gather(
                subjects.HEALTH, HealthRequest(), Sample, window_s=self._settings.health_window_s
            )
            return aggregate(samples, worker.controls.current, worker.identity.version)

        facade = Facade(pipeline, documents, exchange, self._settings, check)
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
