"""Wiring of the retriever: its state folder, its components, the stream it follows, four endpoints each."""

import asyncio
import sys
from pathlib import Path

from services.retriever.catalogue import Catalogue
from services.retriever.component import Component, load_component
from services.retriever.dense.gpu import NoDevice, device
from services.retriever.dense.indexing import WrongIndex
from services.retriever.dense.ondevice import ToDevice
from services.retriever.passages.feed import Feed
from services.retriever.passages.follower import Follower
from services.retriever.plan import FILE
from services.retriever.querymodel.choice import QueryModels
from services.retriever.querymodel.component import KIND
from services.retriever.querymodel.loading import load_models, load_one
from services.retriever.settings import RetrieverSettings
from services.retriever.statefolder import StateFolder, claim
from services.retriever.vectordb.backends import backend_of
from services.retriever.vectordb.mirrors import Backend
from trimtab.artifacts.manifest import ArtifactCorrupt, read_manifest
from trimtab.artifacts.shipped import shipped
from trimtab.artifacts.store import provide
from trimtab.bus.server import Endpoint, Handler
from trimtab.bus.streams import docs_stream, ensure
from trimtab.contracts import subjects
from trimtab.contracts.documents import FindPassages, FoundPassages
from trimtab.contracts.errors import NotReady
from trimtab.contracts.headers import RequestContext
from trimtab.contracts.inspect import InspectReply, InspectRequest
from trimtab.contracts.retrieve import RetrieveReply, RetrieveRequest, ScoreReply, ScoreRequest
from trimtab.contracts.samples import NPROBE, Readiness
from trimtab.contracts.vectors import VectorsReply, VectorsRequest
from trimtab.telemetry.metrics import (
    RETRIEVER_DEVICE_FALLBACK,
    RETRIEVER_QUERIES,
    RETRIEVER_SEARCH_DURATION,
    RETRIEVER_TOP_COSINE,
)
from trimtab.worker.service import Worker
from trimtab.worker.settings import DeploymentSettings

_RETRIEVE = "retrieve"
_SCORE = "score"
_INSPECT = "inspect"
_VECTORS = "vectors"
_PASSAGES = "passages"
_SWITCH_S = 0.0005
"""A thread in pure Python (tokenising an ingest) gives way to a search after that, not after 5 ms."""

_PARTS = ("model", "dense", "lexical", "passages", "signals")


def build(deployment: DeploymentSettings, settings: RetrieverSettings) -> Worker:
    """Return the retriever's worker, its state folder claimed; connects to nothing.

    Raises:
        StateInUse: another process holds the instance's state folder.
        InvalidSettings: they name a vector database whose package is not installed.
    """
    backend = backend_of(settings)
    folder = claim(deployment.home, "retriever", settings.instance)
    settings = settings.model_copy(update={"instance": folder.name})
    retriever = Retriever(settings, folder, backend)
    return Worker(
        "retriever",
        "Finds candidate passages by meaning and by words",
        deployment,
        settings,
        retriever.load,
        retriever.unload,
        stage="retrieve",
        load_component=retriever.load_component,
        unload_component=retriever.unload_component,
    )


class Retriever:
    """What the worker loads and unloads."""

    def __init__(
        self, settings: RetrieverSettings, folder: StateFolder, backend: Backend | None
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._backend = backend
        self._catalogue: Catalogue | None = None
        self._follower: Follower | None = None

    async def load(self, worker: Worker) -> None:
        """Load what is on disk, read what the stream has beyond it, then serve."""
        component = await self._component(worker, self._settings.component)
        sys.setswitchinterval(_SWITCH_S)
        catalogue = Catalogue(
            self._folder.path, self._settings.reply_bytes, worker.log, self._backend
        )
        self._catalogue = catalogue
        await self._load_query_models(worker, catalogue)
        await catalogue.load()
        await catalogue.add(component.manifest.reference, component.plan, component.trained)
        await ensure(worker.connection.jetstream(timeout=10), docs_stream())
        self._follower = Follower(worker, Feed(worker.connection, worker.log), catalogue)
        catalogue.caretaker.on_change = self._follower.tell
        catalogue.caretaker.placing.device = self._device(worker)
        catalogue.caretaker.placing.on_change = self._follower.tell
        catalogue.mirrors.on_change = self._follower.tell
        await self._follower.catch_up()
        await catalogue.caretaker.settle()
        await catalogue.mirrors.settle()
        catalogue.caretaker.start()
        self._follower.tell()
        _serve(worker, catalogue, component)

    async def load_component(self, worker: Worker, reference: str) -> None:
        """Index every collection as another component says, then answer for it beside the others.

        A query model that a release names is loaded in the same way, for searches of every component.

        Raises:
            ArtifactError: it cannot be trusted or found, its index does not find its own vectors, or it does
                not give its golden answers.
        """
        if self._catalogue is None:  # the worker loads before it is asked for more
            raise AssertionError("no component is asked for before the catalogue is loaded")
        folder = await self._fetched(worker, reference)
        if read_manifest(folder).kind == KIND:
            self._catalogue.query_models.add(await load_one(worker, reference, folder))
            _tell_query_models(worker, self._catalogue)
            return
        component = await asyncio.to_thread(load_component, folder)
        try:
            await self._catalogue.add(reference, component.plan, component.trained)
        except WrongIndex as error:
            problem = f"an index built of collection {error} does not find its own vectors"
            raise ArtifactCorrupt(reference, FILE, problem) from error
        _serve(worker, self._catalogue, component)

    async def unload_component(self, worker: Worker, reference: str) -> None:
        """Let go of the indexes that a component made of every collection, or of a query model."""
        if self._catalogue is not None and reference in self._catalogue.query_models.references:
            self._catalogue.query_models.remove(reference)
            _tell_query_models(worker, self._catalogue)
        elif self._catalogue is not None and self._follower is not None:
            await self._catalogue.remove(reference)
            self._follower.forget(reference)

    async def unload(self, worker: Worker) -> None:
        """Stop following, save the indexes, let go of the folder."""
        if self._follower is not None:
            await self._follower.stop()
        if self._catalogue is not None:
            await self._catalogue.close()
        worker.log.info("state_saved", path=self._folder.name)
        self._folder.release()

    def _device(self, worker: Worker) -> ToDevice | None:
        """Return what puts indexes on a GPU; without the one that was asked for the CPU searches, said aloud."""
        try:
            found = device(self._settings.device)
        except NoDevice as error:
            RETRIEVER_DEVICE_FALLBACK.labels("missing").inc()
            worker.feel(Readiness.DEGRADED, f"searches run on the CPU: {error}")
            found = None
        worker.identity.facts["device"] = "cpu"  # until an index is on the other one
        return found

    async def _load_query_models(self, worker: Worker, catalogue: Catalogue) -> None:
        """Load those of the settings; without one of them searches fall back, and the worker says so."""
        named = self._settings.query_model_references
        found = await load_models(worker, named, self._settings.shipped)
        catalogue.query_models = QueryModels(found.models)
        _tell_query_models(worker, catalogue)
        if found.refused:
            worker.feel(Readiness.DEGRADED, "; ".join(found.refused))

    async def _component(self, worker: Worker, reference: str) -> Component:
        return await asyncio.to_thread(load_component, await self._fetched(worker, reference))

    async def _fetched(self, worker: Worker, reference: str) -> Path:
        cache = worker.deployment.home / "components"
        folder, _ = await provide(
            worker.connection, reference, cache, shipped(self._settings.shipped)
        )
        return folder


def _tell_query_models(worker: Worker, catalogue: Catalogue) -> None:
    worker.identity.facts["query_models"] = " ".join(catalogue.query_models.references)


def _serve(worker: Worker, catalogue: Catalogue, loaded: Component) -> None:
    component = loaded.manifest.reference
    retrieve = _retrieve_handler(worker, catalogue, component)
    score = _score_handler(catalogue, component)
    inspect = _inspect_handler(catalogue, component)
    find = _find_handler(catalogue, component)
    for endpoint in (
        Endpoint(_RETRIEVE, subjects.retrieve(component), RetrieveRequest, retrieve, component),
        Endpoint(_SCORE, subjects.score(component), ScoreRequest, score, component),
        Endpoint(_PASSAGES, subjects.passages(component), FindPassages, find, component),
        Endpoint(
            _INSPECT,
            subjects.inspect(component),
            InspectRequest,
            inspect,
            component,
            steered=False,
        ),
        Endpoint(
            _VECTORS,
            subjects.vectors(component),
            VectorsRequest,
            _vectors_handler(catalogue, component),
            component,
            steered=False,
        ),
    ):
        worker.serve(endpoint)
    worker.identity.facts[f"{NPROBE}{component}"] = loaded.plan.dense.nprobe
    worker.loaded(component, loaded.manifest.hash)


def _retrieve_handler(worker: Worker, catalogue: Catalogue, component: str) -> Handler:
    parts = {part: RETRIEVER_SEARCH_DURATION.labels(part) for part in _PARTS}
    likeness = RETRIEVER_TOP_COSINE.labels(component)

    async def retrieve(request: RetrieveRequest, context: RequestContext) -> RetrieveReply:
        remaining_s = context.remaining_ms() / 1000
        found = await catalogue.retrieve(component, request, context.tenant, remaining_s)
        for part, took_s in found.took_s.items():
            parts[part].observe(took_s)
        if found.top_cosine is not None:
            likeness.observe(found.top_cosine)
        fallback = found.reply.fallback
        RETRIEVER_QUERIES.labels(found.reply.impl, fallback.value if fallback else "").inc()
        for event in found.bad:
            worker.sampler.bad(_RETRIEVE, component, context, event)
        return found.answer()

    return retrieve


def _score_handler(catalogue: Catalogue, component: str) -> Handler:
    async def score(request: ScoreRequest, _context: RequestContext) -> ScoreReply:
        return await catalogue.score(component, request)

    return score


def _find_handler(catalogue: Catalogue, component: str) -> Handler:
    async def find(request: FindPassages, context: RequestContext) -> FoundPassages:
        try:
            async with asyncio.timeout(context.remaining_ms() / 1000):
                return await catalogue.find(component, request, context.tenant)
        except TimeoutError:
            raise NotReady(f"the index as of stream sequence {request.sequence}") from None

    return find


def _inspect_handler(catalogue: Catalogue, component: str) -> Handler:
    async def inspect(request: InspectRequest, context: RequestContext) -> InspectReply:
        return await catalogue.inspect(component, request, context.tenant)

    return inspect


def _vectors_handler(catalogue: Catalogue, component: str) -> Handler:
    async def vectors(request: VectorsRequest, context: RequestContext) -> VectorsReply:
        return await catalogue.vectors(component, request, context.tenant)

    return vectors
