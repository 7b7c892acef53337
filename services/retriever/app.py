"""Wiring of the retriever: its state folder, its component, the stream it follows, two endpoints."""

import asyncio
import sys

from services.retriever.catalogue import Catalogue
from services.retriever.feed import Feed
from services.retriever.follower import Follower
from services.retriever.plan import Plan, load_plan
from services.retriever.settings import RetrieverSettings
from services.retriever.statefolder import StateFolder, claim
from trimtab.artifacts.manifest import Manifest
from trimtab.artifacts.shipped import shipped
from trimtab.artifacts.store import provide
from trimtab.bus.server import Endpoint, Handler
from trimtab.bus.streams import docs_stream, ensure
from trimtab.contracts import subjects
from trimtab.contracts.headers import RequestContext
from trimtab.contracts.retrieve import RetrieveReply, RetrieveRequest, ScoreReply, ScoreRequest
from trimtab.telemetry.metrics import RETRIEVER_SEARCH_DURATION
from trimtab.worker.service import Worker
from trimtab.worker.settings import DeploymentSettings

_RETRIEVE = "retrieve"
_SCORE = "score"
_SWITCH_S = 0.0005
"""A thread in pure Python (tokenising an ingest) gives way to a search after that, not after 5 ms."""

_PARTS = ("dense", "lexical", "passages", "signals")


def build(deployment: DeploymentSettings, settings: RetrieverSettings) -> Worker:
    """Return the retriever's worker, its state folder claimed; connects to nothing.

    Raises:
        StateInUse: another process holds the instance's state folder.
    """
    folder = claim(deployment.home, "retriever", settings.instance)
    settings = settings.model_copy(update={"instance": folder.name})
    retriever = Retriever(settings, folder)
    return Worker(
        "retriever",
        "Finds candidate passages by meaning and by words",
        deployment,
        settings,
        retriever.load,
        retriever.unload,
    )


class Retriever:
    """What the worker loads and unloads."""

    def __init__(self, settings: RetrieverSettings, folder: StateFolder) -> None:
        self._settings = settings
        self._folder = folder
        self._catalogue: Catalogue | None = None
        self._follower: Follower | None = None

    async def load(self, worker: Worker) -> None:
        """Load what is on disk, read what the stream has beyond it, then serve."""
        plan, manifest = await self._component(worker)
        sys.setswitchinterval(_SWITCH_S)
        self._catalogue = Catalogue(self._folder.path, plan, self._settings.reply_bytes, worker.log)
        await self._catalogue.load()
        await ensure(worker.connection.jetstream(timeout=10), docs_stream())
        self._follower = Follower(worker, Feed(worker.connection, worker.log), self._catalogue)
        self._catalogue.caretaker.on_change = self._follower.tell
        await self._follower.catch_up()
        await self._catalogue.caretaker.settle()
        self._catalogue.caretaker.start()
        self._follower.tell()
        for endpoint in _endpoints(worker, self._catalogue, manifest.reference):
            worker.serve(endpoint)
        worker.loaded(manifest.reference, manifest.hash)

    async def unload(self, worker: Worker) -> None:
        """Stop following, save the indexes, let go of the folder."""
        if self._follower is not None:
            await self._follower.stop()
        if self._catalogue is not None:
            await self._catalogue.close()
        worker.log.info("state_saved", path=self._folder.name)
        self._folder.release()

    async def _component(self, worker: Worker) -> tuple[Plan, Manifest]:
        cache = worker.deployment.home / "components"
        folder, _ = await provide(
            worker.connection, self._settings.component, cache, shipped(self._settings.shipped)
        )
        return await asyncio.to_thread(load_plan, folder)


def _endpoints(worker: Worker, catalogue: Catalogue, component: str) -> tuple[Endpoint, Endpoint]:
    return (
        Endpoint(
            _RETRIEVE,
            subjects.retrieve(component),
            RetrieveRequest,
            _retrieve_handler(worker, catalogue, component),
            component,
        ),
        Endpoint(
            _SCORE,
            subjects.score(component),
            ScoreRequest,
            _score_handler(catalogue),
            component,
        ),
    )


def _retrieve_handler(worker: Worker, catalogue: Catalogue, component: str) -> Handler:
    parts = {part: RETRIEVER_SEARCH_DURATION.labels(part) for part in _PARTS}

    async def retrieve(request: RetrieveRequest, context: RequestContext) -> RetrieveReply:
        found = await catalogue.retrieve(request, context.tenant)
        for part, took_s in found.took_s.items():
            parts[part].observe(took_s)
        for event in found.bad:
            worker.sampler.bad(_RETRIEVE, component, context.release, event, role=context.role)
        return found.reply

    return retrieve


def _score_handler(catalogue: Catalogue) -> Handler:
    async def score(request: ScoreRequest, _context: RequestContext) -> ScoreReply:
        return await catalogue.score(request)

    return score
