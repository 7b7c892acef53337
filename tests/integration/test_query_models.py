"""The switch ``retriever.impl`` over real workers: what the replies say, what falls back, what is refused."""

import asyncio
import hashlib
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import msgspec
import numpy as np
import pytest
from nats.aio.client import Client as NatsClient
from safetensors.numpy import load, save

from services.controller.app import build as build_controller
from services.controller.settings import ControllerSettings
from services.gateway.app import build as build_gateway
from services.gateway.settings import GatewaySettings
from services.retriever.querymodel.component import load_model
from tests.unit.control.documents import release
from tests.unit.retriever import querymodels, stream
from tests.unit.retriever.corpora import DIMENSION, NAMESPACE
from tests.workers import deployment, running
from trimtab.artifacts.manifest import write_manifest
from trimtab.artifacts.store import ArtifactStore
from trimtab.bus.local_server import LocalServer
from trimtab.bus.server import Endpoint
from trimtab.client import Client
from trimtab.contracts import subjects
from trimtab.contracts.control import Switch
from trimtab.contracts.encode import EncodeReply, EncodeRequest, TokenVectors
from trimtab.contracts.errors import RemoteError
from trimtab.contracts.headers import RequestContext
from trimtab.contracts.orders import (
    Command,
    CreateReleaseCommand,
    DeleteReleaseCommand,
    Finding,
    KillCommand,
    Order,
    Outcome,
    RestoreCommand,
    StartCanaryCommand,
)
from trimtab.contracts.retrieve import LAST_VEC
from trimtab.contracts.samples import Readiness
from trimtab.contracts.tensor import Matrix
from trimtab.control.execute import execute
from trimtab.control.store import ControlStore
from trimtab.telemetry.metrics import REGISTRY
from trimtab.worker.service import Worker
from trimtab.worker.settings import WorkerSettings

pytestmark = pytest.mark.integration

BASE = msgspec.structs.replace(release("base", rerank=None), namespace=NAMESPACE)
TEXTS = [f"passage {number}" for number in range(40)]


def vector(text: str) -> "np.ndarray[tuple[int], np.dtype[np.float32]]":
    """A unit vector that depends on the text alone."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    drawn = np.random.default_rng(seed).standard_normal(DIMENSION)
    return (drawn / np.linalg.norm(drawn)).astype(np.float32)


@dataclass
class Encoder:
    """Answers as an encoder, and remembers what it was asked."""

    asked: list[list[str]] = field(default_factory=list)

    async def load(self, worker: Worker) -> None:
        worker.serve(Endpoint("encode", subjects.encode(BASE.encode), EncodeRequest, self.encode))

    async def encode(self, request: EncodeRequest, _context: RequestContext) -> EncodeReply:
        self.asked.append(request.texts)
        counts = [1 + number for number in range(len(request.texts))]
        tokens = np.full((sum(counts), 8), 45, dtype=np.int8)
        return EncodeReply(
            namespace=request.namespace,
            vectors=Matrix.of(np.stack([vector(text) for text in request.texts])),
            token_counts=counts,
            truncated=0,
            cached=0,
            tokens=TokenVectors(matrix=Matrix.of(tokens), counts=counts),
        )


@dataclass
class Scene:
    """A gateway, a retriever with forty passages, a controller, and the hand that steers them."""

    client: Client
    api: str
    encoder: Encoder
    retriever: Worker
    gateway: Worker
    connection: NatsClient

    async def order(self, command: Command, *, force: bool = False) -> Outcome:
        """Have the controller carry it out, and wait until the gateway obeys."""
        order = Order(
            operation=uuid.uuid4().hex, command=command, actor="test", reason="test", force=force
        )
        outcome = await self.client.order(order)
        await self._obeyed(outcome)
        return outcome

    async def write(self, command: Command) -> None:
        """The same without a controller."""
        order = Order(operation=uuid.uuid4().hex, command=command, actor="test", reason="test")
        store = await ControlStore.open(self.connection)
        outcome, _ = await execute(store, order, now=time.time())
        await self._obeyed(outcome)

    async def has(self, model: str) -> None:
        """Wait until the controller has heard that the retriever loaded a query model."""
        async with asyncio.timeout(60):
            while not any(
                model in each.components for each in (await self.client.status()).workers
            ):
                await asyncio.sleep(0.02)

    async def findings_of_a_canary(self, release: str) -> list[Finding]:
        """What the interlocks would say of a first request to it."""
        order = Order(
            operation=uuid.uuid4().hex,
            command=StartCanaryCommand(release=release, weight_bp=500),
            actor="test",
            reason="test",
            dry_run=True,
        )
        return (await self.client.order(order)).findings

    async def query_model_of_a_canary(self, release: str) -> list[Finding]:
        """What the interlock of query models would say."""
        found = await self.findings_of_a_canary(release)
        return [each for each in found if each.interlock == "query_model"]

    async def _obeyed(self, outcome: Outcome) -> None:
        async with asyncio.timeout(60):
            while self.gateway.controls.revision < outcome.revision:
                await asyncio.sleep(0.01)


def damaged(folder: Path, reference: str) -> Path:
    """Write a model whose checksums fit and whose golden answers are another's."""
    made = querymodels.save(folder, reference)
    weights = made / "model.safetensors"
    tensors = dict(load(weights.read_bytes()))
    tensors["mlp3.bias"] = tensors["mlp3.bias"] + 1
    weights.write_bytes(save(tensors))
    name, _, version = reference.partition("@")
    write_manifest(made, name=name, version=version, kind="query-model")
    return made


def counted(metric: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(metric, labels) or 0.0


def impl(name: str) -> KillCommand:
    return KillCommand(switch=Switch.RETRIEVER_IMPL, value=name, ttl_s=3600)


@asynccontextmanager
async def scene_of(
    server: LocalServer,
    connection: NatsClient,
    home: Path,
    *,
    controller: bool = True,
    query_models: str = "",
) -> AsyncIterator[Scene]:
    await stream.write(connection, [stream.message(t, vector(t), text=t) for t in TEXTS])
    await (await ControlStore.open(connection, create=True)).initialise(BASE, "test")
    encoder, home_of = Encoder(), deployment(server, home)
    settings = WorkerSettings(instance="e-0")
    retriever = stream.worker(server, home, query_models=query_models)
    retriever.keep_s = 0.0  # what a deleted release brought goes at the next look
    gateway = build_gateway(home_of, GatewaySettings(instance="g-0", api_port=0))
    workers = [Worker("encoder", "by hash", home_of, settings, encoder.load), retriever, gateway]
    if controller:
        workers.append(build_controller(home_of, ControllerSettings(instance="c-0")))
    async with AsyncExitStack() as stack:
        for worker in workers:
            await stack.enter_async_context(running(worker))
        api = str(gateway.identity.facts["api_url"])
        client = Client(connection)
        if controller:
            await _seen(client)
        yield Scene(client, api, encoder, retriever, gateway, connection)


async def _seen(client: Client) -> None:
    """Wait until the controller has heard of the retriever."""
    async with asyncio.timeout(60):
        while "retriever" not in {each.service for each in (await client.status()).workers}:
            await asyncio.sleep(0.05)


@pytest.fixture
async def scene(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> AsyncIterator[Scene]:
    async with scene_of(nats_server, connection, tmp_path) as made:
        yield made


async def test_the_switch_decides_what_is_searched_with_until_it_is_taken_back(
    scene: Scene,
) -> None:
    context = TEXTS[:4]
    before = await scene.client.search("a question", collection="docs", context=context)

    await scene.order(impl("mean"))
    thrown = await scene.client.search("a question", collection="docs", context=context, limit=40)
    await scene.order(RestoreCommand(switch=Switch.RETRIEVER_IMPL))
    after = await scene.client.search("a question", collection="docs", context=context)

    assert scene.encoder.asked == [["a question"], [*context, "a question"], ["a question"]]
    assert ("query_model" in before.versions, before.degraded) == (False, [])
    assert (thrown.versions["query_model"], thrown.degraded) == ("mean", [])
    assert [r.id for r in after.results] == [r.id for r in before.results]
    mean = np.mean([vector(text) for text in [*context, "a question"]], axis=0)
    nearest = sorted(TEXTS[4:], key=lambda text: -float(vector(text) @ mean))
    assert [result.id for result in thrown.results] == nearest
    assert thrown.results[0].score == pytest.approx(
        float(vector(nearest[0]) @ mean) / float(np.linalg.norm(mean)), abs=1e-5
    )


async def test_a_search_without_context_falls_back_and_says_why(scene: Scene) -> None:
    own = await scene.client.search("a question", collection="docs")
    await scene.order(impl("mean"))
    reply = await scene.client.search("a question", collection="docs")

    assert [r.id for r in reply.results] == [r.id for r in own.results]
    assert "query_model" not in reply.versions
    assert reply.degraded == ["query_model: window_short"]


async def test_a_model_that_nobody_loaded_is_refused_by_the_controller_and_survived_without_it(
    scene: Scene,
) -> None:
    with pytest.raises(RemoteError, match="loaded: last_vec, mean") as caught:
        await scene.order(impl("gru_v0"))
    assert caught.value.error == "InterlockRefused"

    outcome = await scene.order(impl("gru_v0"), force=True)
    reply = await scene.client.search("a question", collection="docs", context=TEXTS[:4])

    assert [finding.interlock for finding in outcome.findings if not finding.ok] == ["query_model"]
    assert reply.degraded == ["query_model: not_loaded"]
    assert len(reply.results) == 10


async def test_the_switch_works_for_one_tenant_and_without_a_controller(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    command = KillCommand(switch=Switch.RETRIEVER_IMPL, value="mean", tenant="acme", ttl_s=3600)
    async with scene_of(nats_server, connection, tmp_path, controller=False) as scene:
        await scene.write(command)
        versions = {
            tenant: (
                await scene.client.search(
                    "a question", collection="docs", context=TEXTS[:4], tenant=tenant
                )
            ).versions
            for tenant in ("acme", "globex")
        }

    assert versions["acme"]["query_model"] == "mean"
    assert "query_model" not in versions["globex"]


async def test_a_release_brings_its_query_model_and_the_switch_overrides_it(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    with_mean = msgspec.structs.replace(BASE, settings={"retriever.impl": "mean"})
    await (await ControlStore.open(connection, create=True)).initialise(with_mean, "test")
    async with scene_of(nats_server, connection, tmp_path, controller=False) as scene:
        released = await scene.client.search("x", collection="docs", context=TEXTS[:4])
        await scene.write(impl(LAST_VEC))
        thrown = await scene.client.search("x", collection="docs", context=TEXTS[:4])

    assert released.versions["query_model"] == "mean"
    assert ("query_model" in thrown.versions, thrown.degraded) == (False, [])


async def test_a_release_whose_query_model_nobody_loaded_is_not_ramped(scene: Scene) -> None:
    named = msgspec.structs.replace(BASE, name="next", settings={"retriever.impl": "amn_v0"})
    await scene.order(CreateReleaseCommand(release=named))

    [finding] = await scene.query_model_of_a_canary("next")

    assert not finding.ok
    assert "no live retriever has loaded amn_v0" in finding.detail


async def test_excluded_passages_never_come_out_over_nats_and_http(scene: Scene) -> None:
    first = await scene.client.search("passage 3", collection="docs", limit=10)
    excluded = [result.id for result in first.results[:5]]

    over_nats = await scene.client.search(
        "passage 3", collection="docs", limit=40, exclude=excluded
    )
    async with httpx.AsyncClient(base_url=scene.api, timeout=60, trust_env=False) as http:
        answer = await http.post(
            "/v1/search",
            json={
                "text": "passage 3",
                "collection": "docs",
                "limit": 40,
                "exclude": excluded,
                "context": ["one", "two"],
            },
        )
        blank = await http.post("/v1/search", json={"text": "x", "context": ["  "]})

    assert answer.status_code == 200
    rest = {text for text in TEXTS if text not in excluded}
    assert {result.id for result in over_nats.results} == rest
    assert {result["id"] for result in answer.json()["results"]} == rest
    assert (blank.status_code, blank.json()["title"]) == (422, "InvalidMessage")
    assert "context is blank" in blank.json()["detail"]


async def test_a_retriever_lists_its_query_models_and_counts_what_fell_back(scene: Scene) -> None:
    event = {"service": "retriever", "event": "query_model_fallback"}
    before = (
        counted("retriever_queries_total", impl=LAST_VEC, fallback="not_loaded"),
        counted("trimtab_bad_events_total", **event),
    )
    await scene.order(impl("amn_v0"), force=True)
    await scene.client.search("a question", collection="docs", context=TEXTS[:4])

    assert scene.retriever.identity.facts["query_models"] == "last_vec mean"
    [sample] = [s for s in await scene.client.health() if s.service == "retriever"]
    assert sample.facts["query_models"] == "last_vec mean"
    assert counted("retriever_queries_total", impl=LAST_VEC, fallback="not_loaded") == before[0] + 1
    assert counted("trimtab_bad_events_total", **event) == before[1] + 1


async def test_a_trained_model_is_loaded_from_the_store_and_searched_with(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    store = await ArtifactStore.open(connection)
    await store.push(querymodels.save(tmp_path / "made", "amn_v0@1"))
    model = load_model(tmp_path / "made" / "amn_v0@1")
    async with scene_of(nats_server, connection, tmp_path, query_models="amn_v0@1") as scene:
        await scene.order(impl("amn_v0"))
        reply = await scene.client.search(
            "a question", collection="docs", context=TEXTS[:7], exclude=TEXTS[:3], limit=40
        )
        short = await scene.client.search("a question", collection="docs", context=TEXTS[:3])

    window = np.stack([vector(text) for text in [*TEXTS[3:7], "a question"]])
    searched = model.vector(window)
    nearest = sorted(TEXTS[7:], key=lambda text: -float(vector(text) @ searched))
    assert scene.retriever.identity.components["amn_v0@1"] == model.content_hash
    assert (reply.versions["query_model"], reply.degraded) == ("amn_v0@1", [])
    assert [result.id for result in reply.results] == nearest
    assert short.degraded == ["query_model: window_short"]


async def test_a_running_retriever_has_the_query_model_of_a_release_from_before_it_serves_until_it_is_gone(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    async with scene_of(nats_server, connection, tmp_path) as scene:
        store = await ArtifactStore.open(connection)
        made = querymodels.save(tmp_path / "made", "amn_v0@1")
        await store.push(made)
        named = msgspec.structs.replace(BASE, name="next", settings={"retriever.impl": "amn_v0@1"})
        await scene.order(CreateReleaseCommand(release=named))
        await scene.has("amn_v0@1")
        [canary] = await scene.query_model_of_a_canary("next")
        await scene.order(impl("amn_v0@1"))
        reply = await scene.client.search("a question", collection="docs", context=TEXTS[:4])
        readiness, loaded = scene.retriever.identity.readiness, scene.retriever.identity.components
        content_hash = loaded["amn_v0@1"]
        await scene.order(RestoreCommand(switch=Switch.RETRIEVER_IMPL))
        await scene.order(DeleteReleaseCommand(release="next"))
        async with asyncio.timeout(60):
            while "amn_v0@1" in loaded:
                await asyncio.sleep(0.01)
        left = scene.retriever.identity.facts["query_models"]
        own = await scene.client.search("passage 3", collection="docs")

    model = load_model(made)
    assert content_hash == model.content_hash
    assert (left, own.results[0].id) == ("last_vec mean", "passage 3")
    assert readiness == Readiness.READY
    assert (canary.ok, canary.detail) == (True, "amn_v0@1 on retriever-1")
    assert (reply.versions["query_model"], reply.degraded) == ("amn_v0@1", [])


async def test_a_release_whose_query_model_is_damaged_is_not_ramped_and_the_others_serve(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    async with scene_of(nats_server, connection, tmp_path) as scene:
        await (await ArtifactStore.open(connection)).push(damaged(tmp_path / "made", "amn_v0@1"))
        bad, absent = (
            msgspec.structs.replace(BASE, name=model, settings={"retriever.impl": f"{model}@1"})
            for model in ("amn_v0", "gru_v0")
        )
        await scene.order(CreateReleaseCommand(release=bad))
        last = await scene.order(CreateReleaseCommand(release=absent))
        async with asyncio.timeout(60):  # the retriever looked at both, and went on
            while scene.retriever.controls.revision < last.revision:
                await asyncio.sleep(0.01)
        found = [await scene.query_model_of_a_canary(each.name) for each in (bad, absent)]
        reply = await scene.client.search("passage 3", collection="docs")

    assert [finding.ok for [finding] in found] == [False, False]
    assert "no live retriever has loaded amn_v0@1" in found[0][0].detail
    assert "--setting retriever.impl=MODEL@VERSION" in found[0][0].detail
    assert scene.retriever.identity.facts["query_models"] == "last_vec mean"
    assert reply.results[0].id == "passage 3"


async def test_a_query_model_is_no_index_that_a_release_could_retrieve_with(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    await (await ArtifactStore.open(connection)).push(querymodels.save(tmp_path / "made"))
    async with scene_of(nats_server, connection, tmp_path, query_models="amn_v0@1") as scene:
        wrong = msgspec.structs.replace(BASE, name="next", retrieve="amn_v0@1")
        await scene.order(CreateReleaseCommand(release=wrong))
        findings = await scene.findings_of_a_canary("next")

    assert [each.ok for each in findings if each.interlock == "loaded:retrieve"] == [False]


async def test_a_model_that_cannot_be_loaded_degrades_the_worker_and_not_its_searches(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    await (await ArtifactStore.open(connection)).push(damaged(tmp_path / "made", "amn_v0@1"))
    await (await ArtifactStore.open(connection)).push(querymodels.save(tmp_path / "made", "fine@1"))
    named = "amn_v0@1,gru_v0@1,fine@1"
    async with scene_of(nats_server, connection, tmp_path, query_models=named) as scene:
        [sample] = [s for s in await scene.client.health() if s.service == "retriever"]
        reply = await scene.client.search("passage 3", collection="docs")

    assert sample.readiness == Readiness.DEGRADED
    assert "amn_v0@1 is not loaded: amn_v0@1: golden.json is answered otherwise" in sample.reason
    assert "gru_v0@1 is not loaded" in sample.reason
    assert sample.facts["query_models"] == "last_vec mean fine@1"
    assert reply.results[0].id == "passage 3"


async def test_a_model_of_another_space_falls_back(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    other = querymodels.save(tmp_path / "made", namespace="single_vector.other.16.v1")
    await (await ArtifactStore.open(connection)).push(other)
    async with scene_of(nats_server, connection, tmp_path, query_models="amn_v0@1") as scene:
        await scene.order(impl("amn_v0@1"))
        reply = await scene.client.search("a question", collection="docs", context=TEXTS[:4])

    assert reply.degraded == ["query_model: namespace"]
    assert len(reply.results) == 10
