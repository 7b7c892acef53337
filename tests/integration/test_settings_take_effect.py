"""Every bounded setting is read where it claims to be: set it, see the next request obey, see it expire."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import pytest
from nats.aio.client import Client as NatsClient

from services.encoder.app import build as build_encoder
from services.encoder.component import ComponentBackend
from services.encoder.settings import EncoderSettings
from services.encoder.shipped import DEFAULT
from services.gateway.app import build as build_gateway
from services.gateway.settings import GatewaySettings
from tests.integration import encoder_models
from tests.unit.control.documents import release
from tests.workers import deployment, running
from trimtab.artifacts.store import ArtifactStore
from trimtab.bus.caller import Caller
from trimtab.bus.local_server import LocalServer
from trimtab.bus.server import Endpoint
from trimtab.client import Client
from trimtab.contracts import subjects
from trimtab.contracts.control import Value
from trimtab.contracts.encode import EncodeReply, EncodeRequest
from trimtab.contracts.errors import Overloaded, RemoteError
from trimtab.contracts.headers import RequestContext, now_ms
from trimtab.contracts.mapping import MappingMode, MapReply, MapRequest
from trimtab.contracts.orders import Order, SetCommand
from trimtab.contracts.retrieve import RetrieveReply, RetrieveRequest
from trimtab.contracts.tensor import Matrix
from trimtab.control.execute import execute
from trimtab.control.feed import ControlFeed
from trimtab.control.store import ControlStore
from trimtab.control.tunables import TUNABLES
from trimtab.telemetry.metrics import REGISTRY
from trimtab.worker.service import Worker
from trimtab.worker.settings import WorkerSettings

pytestmark = pytest.mark.integration

BASE = release("base", rerank=None)


@dataclass
class Witness:
    """Stands behind the gateway as every stage, and remembers what it was asked."""

    encodes: list[EncodeRequest] = field(default_factory=list)
    retrieves: list[RetrieveRequest] = field(default_factory=list)
    maps: list[MapRequest] = field(default_factory=list)
    remaining_ms: list[float] = field(default_factory=list)
    shed: bool = False

    async def load(self, worker: Worker) -> None:
        worker.serve(Endpoint("encode", subjects.encode(BASE.encode), EncodeRequest, self.encode))
        worker.serve(
            Endpoint("retrieve", subjects.retrieve(BASE.retrieve), RetrieveRequest, self.retrieve)
        )
        worker.serve(Endpoint("map", subjects.mapping(BASE.map), MapRequest, self.map))

    async def encode(self, request: EncodeRequest, _context: RequestContext) -> EncodeReply:
        self.encodes.append(request)
        count = len(request.texts)
        vectors = np.zeros((count, 384), dtype=np.float32)
        vectors[:, 0] = 1.0
        return EncodeReply(
            namespace=request.namespace,
            vectors=Matrix.of(vectors),
            token_counts=[3] * count,
            truncated=0,
            cached=0,
        )

    async def retrieve(self, request: RetrieveRequest, context: RequestContext) -> RetrieveReply:
        self.retrieves.append(request)
        self.remaining_ms.append(context.remaining_ms())
        if self.shed:
            raise Overloaded("witness", 1)
        return RetrieveReply(collection=request.collection, index="none@0", hits=[], signals=None)

    async def map(self, request: MapRequest, _context: RequestContext) -> MapReply:
        self.maps.append(request)
        return MapReply(
            taxonomy=["OTHER.Unknown"],
            scores={},
            confidence=0.0,
            decided_by="unknown",
            fallback_reason=None,
            mode=MappingMode.HYBRID,
            versions={},
        )


@dataclass
class Scene:
    """A gateway before a witness, and the hand that steers it."""

    client: Client
    api: str
    store: ControlStore
    feed: ControlFeed
    witness: Witness


async def steer(
    store: ControlStore, feed: ControlFeed, name: str, value: Value, ttl_s: float, tenant: str = ""
) -> None:
    """Set, and wait until the process under test obeys."""
    command = SetCommand(name=name, value=value, tenant=tenant, ttl_s=ttl_s)
    order = Order(operation=uuid.uuid4().hex, command=command, actor="test", reason="test")
    outcome, _ = await execute(store, order, now=time.time())
    async with asyncio.timeout(60):
        while feed.current is None or feed.current.state_revision < outcome.revision:
            await asyncio.sleep(0.01)


@pytest.fixture
async def scene(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> AsyncIterator[Scene]:
    store = await ControlStore.open(connection, create=True)
    await store.initialise(BASE, "test")
    witness, home = Witness(), deployment(nats_server, tmp_path)
    stages = Worker("witness", "Every stage", home, WorkerSettings(instance="w-0"), witness.load)
    gateway = build_gateway(home, GatewaySettings(instance="g-0", api_port=0))
    async with running(stages), running(gateway):
        api = str(gateway.identity.facts["api_url"])
        yield Scene(Client(connection), api, store, gateway.controls, witness)


async def nprobe(scene: Scene) -> object:
    await scene.client.search("x")
    return scene.witness.retrieves[-1].nprobe


async def pool(scene: Scene) -> object:
    await scene.client.search("x", limit=5)
    return scene.witness.retrieves[-1].limit


async def sparse(scene: Scene) -> object:
    await scene.client.search("x")
    return scene.witness.encodes[-1].sparse


async def threshold(scene: Scene) -> object:
    await scene.client.map("x", detector="toxic")
    return scene.witness.maps[-1].threshold


async def tries(scene: Scene) -> object:
    scene.witness.shed, before = True, len(scene.witness.retrieves)
    with pytest.raises(RemoteError, match="already holds"):
        await scene.client.search("x")  # the client tries again too, but not what was tried behind
    return len(scene.witness.retrieves) - before


async def budget(scene: Scene) -> object:
    """The deadline that a stage got, of a request over HTTP that named none."""
    async with httpx.AsyncClient(base_url=scene.api, timeout=60, trust_env=False) as http:
        answer = await http.post("/v1/search", json={"text": "x"})
    assert answer.status_code == 200
    return "long" if scene.witness.remaining_ms[-1] > GatewaySettings().search_budget_ms else "own"


Look = Callable[[Scene], Awaitable[object]]
SEEN_BY_THE_MAPPER = ("mapper.model_timeout_ms", "mapper.on_timeout")
"""Seen to take effect in tests/integration/test_mapper_engines.py."""

SETTINGS: list[tuple[str, Value, Look, object, object]] = [
    ("retriever.nprobe", 3, nprobe, None, 3),
    ("gateway.pool", 7, pool, 50, 7),
    ("gateway.sparse", 1, sparse, None, "query"),
    ("mapper.confidence_threshold", 0.4, threshold, None, 0.4),
    ("mapper.confidence_threshold.toxic", 0.5, threshold, None, 0.5),
    ("gateway.retries", 0, tries, 3, 1),
    ("gateway.search_budget_ms", 60_000, budget, "own", "long"),
]


@pytest.mark.parametrize(
    ("name", "value", "look", "before", "after"), SETTINGS, ids=[row[0] for row in SETTINGS]
)
async def test_a_setting_holds_from_the_next_request_until_it_expires(
    scene: Scene, name: str, value: Value, look: Look, before: object, after: object
) -> None:
    assert await look(scene) == before

    await steer(scene.store, scene.feed, name, value, ttl_s=3600)
    assert await look(scene) == after

    await steer(scene.store, scene.feed, name, value, ttl_s=0.3)
    async with asyncio.timeout(60):
        while await look(scene) != before:
            await asyncio.sleep(0.05)


async def test_a_tenants_own_setting_is_for_that_tenant_alone(scene: Scene) -> None:
    await steer(scene.store, scene.feed, "retriever.nprobe", 2, ttl_s=3600, tenant="acme")

    await scene.client.search("x", tenant="acme")
    await scene.client.search("x", tenant="other")

    assert [request.nprobe for request in scene.witness.retrieves] == [2, None]


def test_every_setting_has_a_test_that_sees_its_effect() -> None:
    seen = {row[0] for row in SETTINGS} | {"encoder.batch_texts", *SEEN_BY_THE_MAPPER}

    assert set(TUNABLES) <= seen


@pytest.fixture(scope="module")
def model() -> ComponentBackend:
    """The component; built before a connection is open, which a blocked loop would lose."""
    return encoder_models.backend(DEFAULT)


async def calls_for(connection: NatsClient, *texts: str) -> float:
    """Return how many calls of the model some texts took."""

    def calls() -> float:
        labels = {"service": "encoder"}
        return REGISTRY.get_sample_value("trimtab_batch_size_count", labels) or 0.0

    before = calls()
    context = RequestContext(uuid.uuid4().hex, "public", now_ms() + 60_000)
    request = EncodeRequest(namespace=BASE.namespace, texts=list(texts))
    await Caller(connection).call(subjects.encode(DEFAULT), request, EncodeReply, context)
    return calls() - before


@pytest.mark.usefixtures("model")
async def test_the_encoders_batch_is_as_large_as_was_set(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    store = await ControlStore.open(connection, create=True)
    await store.initialise(BASE, "test")
    await (await ArtifactStore.open(connection)).push(encoder_models.folder(DEFAULT))
    settings = EncoderSettings(cache_entries=0)
    async with running(build_encoder(deployment(nats_server, tmp_path), settings)) as encoder:
        feed, texts = encoder.controls, ("one", "two", "three", "four")
        assert await calls_for(connection, *texts) == 1

        await steer(store, feed, "encoder.batch_texts", 1, ttl_s=3600)
        assert await calls_for(connection, *texts) == 4

        await steer(store, feed, "encoder.batch_texts", 1, ttl_s=0.3)
        async with asyncio.timeout(60):
            while await calls_for(connection, *texts) != 1:
                await asyncio.sleep(0.05)
