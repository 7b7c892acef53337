"""Components of a new release are loaded while traffic flows, and a bad one harms nobody."""

import asyncio
import contextlib
import uuid
from pathlib import Path

import msgspec
import nats.errors
import numpy as np
import pytest
from nats.aio.client import Client as NatsClient

from services.controller.app import build as build_controller
from services.controller.settings import ControllerSettings
from services.reranker.app import build as build_reranker
from services.reranker.settings import RerankerSettings
from services.retriever.app import build as build_retriever
from services.retriever.settings import RetrieverSettings
from tests.unit.control.documents import canary, controls, state
from tests.unit.retriever import stream
from tests.unit.retriever.corpora import PLAN, clustered
from tests.workers import deployment, running
from trimtab.bus.caller import Caller
from trimtab.bus.local_server import LocalServer
from trimtab.bus.server import Endpoint
from trimtab.client import Client
from trimtab.contracts import subjects
from trimtab.contracts.component import Release
from trimtab.contracts.errors import ModelFailed, RemoteError
from trimtab.contracts.headers import RequestContext
from trimtab.contracts.orders import (
    Command,
    CreateReleaseCommand,
    DeleteReleaseCommand,
    Order,
    Outcome,
    RollBackCommand,
    StartCanaryCommand,
)
from trimtab.contracts.rerank import RerankReply
from trimtab.worker import service
from trimtab.worker.service import Worker
from trimtab.worker.settings import DeploymentSettings

pytestmark = pytest.mark.integration


VECTORS = clustered(np.random.default_rng(3), 240, 12)
MOVED = RerankReply(order=[1, 0], scores=[0.5, 0.25], moved=2, first_changed=True)


def release(name: str, rerank: str = "mlp-full@2", retrieve: str = "hybrid@1") -> Release:
    return Release(
        name=name,
        encode="minilm-int8@1",
        retrieve=retrieve,
        rerank=rerank,
        map="safety-head@1",
        namespace="single_vector.minilm.384.v1",
    )


async def steer(client: Client, command: Command, **how: object) -> Outcome:
    fields: dict[str, object] = {"operation": uuid.uuid4().hex, "actor": "test"}
    return await client.order(Order(command=command, **{**fields, **how}))  # type: ignore[arg-type]


async def obeys(worker: Worker, revision: int) -> None:
    async with asyncio.timeout(30):
        while worker.controls.required.revision < revision:
            await asyncio.sleep(0.01)


async def test_a_created_release_is_loaded_beside_the_one_that_serves(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    client = Client(connection)
    place = deployment(nats_server, tmp_path)
    async with (
        running(build_controller(place, ControllerSettings(instance="c-0"))),
        running(build_reranker(place, RerankerSettings(instance="r-0"))) as reranker,
    ):
        made = await steer(client, CreateReleaseCommand(release=release("next", "mlp-runbook4@1")))
        await obeys(reranker, made.revision)

    assert set(reranker.identity.components) == {"mlp-full@2", "mlp-runbook4@1"}


async def test_once_all_obey_the_controller_knows_what_they_loaded(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    client = Client(connection)
    place = deployment(nats_server, tmp_path)
    async with (
        running(build_controller(place, ControllerSettings(instance="c-0"))),
        running(build_reranker(place, RerankerSettings(instance="r-0"))),
    ):
        made = await steer(client, CreateReleaseCommand(release=release("next", "mlp-runbook4@1")))
        status = await client.status()
        async with asyncio.timeout(30):
            while status.convergence is None or status.convergence.status != "converged":
                await asyncio.sleep(0.005)
                status = await client.status()

    assert status.revision >= made.revision
    (reranker,) = (worker for worker in status.workers if worker.service == "reranker")
    assert set(reranker.components) == {"mlp-full@2", "mlp-runbook4@1"}


async def test_a_controller_that_starts_knows_at_once_who_is_there(
    nats_server: LocalServer,
    connection: NatsClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service, "SAMPLE_INTERVAL_S", 3600.0)  # none comes by itself
    place = deployment(nats_server, tmp_path)
    async with (
        running(build_reranker(place, RerankerSettings(instance="r-0"))),
        running(build_controller(place, ControllerSettings(instance="c-0"))),
        asyncio.timeout(30),
    ):
        known: dict[str, set[str]] = {}
        while "r-0" not in known:
            workers = (await Client(connection).status()).workers
            known = {worker.instance: set(worker.components) for worker in workers}

    assert known["r-0"] == {"mlp-full@2"}


async def test_an_index_of_another_version_is_built_beside_the_one_that_serves_while_passages_arrive(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    client, place = Client(connection), deployment(nats_server, tmp_path)
    ivf = msgspec.structs.replace(
        PLAN, dense=msgspec.structs.replace(PLAN.dense, flat_below=100, nprobe=64)
    )
    shipped = stream.component(tmp_path / "shipped", PLAN)
    stream.component(shipped, ivf, version="2")
    passages = [stream.message(f"p{n}", vector) for n, vector in enumerate(VECTORS)]
    await stream.write(connection, passages[:200])
    settings = RetrieverSettings(instance="retriever-1", shipped=shipped)
    async with (
        running(build_controller(place, ControllerSettings(instance="c-0"))),
        running(build_retriever(place, settings)) as retriever,
    ):
        made = await steer(
            client, CreateReleaseCommand(release=release("next", retrieve="hybrid@2"))
        )
        last = await stream.write(connection, passages[200:])
        await obeys(retriever, made.revision)
        await stream.applied(retriever, last)
        answers = [
            (await stream.ask(connection, vector, limit=3, subject=subjects.retrieve(component)))
            for component in ("hybrid@1", "hybrid@2")
            for vector in (VECTORS[7], VECTORS[230])
        ]

    assert set(retriever.identity.components) == {"hybrid@1", "hybrid@2"}
    assert retriever.identity.facts["index.docs"] == "flat"
    assert retriever.identity.facts["index.docs.hybrid@2"] == "ivf"
    assert [answer.message.hits[0].id for answer in answers] == ["p7", "p230", "p7", "p230"]


async def test_a_release_whose_component_nobody_has_is_refused_as_a_canary_and_harms_nobody(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    client = Client(connection)
    place = deployment(nats_server, tmp_path)
    async with (
        running(build_controller(place, ControllerSettings(instance="c-0"))),
        running(build_reranker(place, RerankerSettings(instance="r-0"))) as reranker,
    ):
        made = await steer(client, CreateReleaseCommand(release=release("bad", "ghost@9")))
        await obeys(reranker, made.revision)
        with pytest.raises(RemoteError, match="has loaded"):
            await steer(client, StartCanaryCommand(release="bad", weight_bp=500))
        forced = await steer(
            client,
            StartCanaryCommand(release="bad", weight_bp=500),
            force=True,
            reason="to see it refused by the worker",
        )
        status = await client.status()
        async with asyncio.timeout(30):
            while status.convergence is None or status.convergence.status != "rejected":
                await asyncio.sleep(0.05)
                status = await client.status()
        good = reranker.controls.required
        back = await steer(client, RollBackCommand())
        await obeys(reranker, back.revision)

    assert good.revision < forced.revision
    assert any("ghost@9" in line for line in status.convergence.lagging)
    assert set(reranker.identity.components) == {"mlp-full@2"}


class Shelf:
    """A worker's components whose requests end when they may."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.asked = asyncio.Event()
        self.may_go = asyncio.Event()
        self.may_go.set()
        self.told: list[str] = []

    async def serve(self, worker: Worker, reference: str) -> None:
        if reference == "mlp-bad@1":
            raise ModelFailed(reference)

        async def handler(request: RerankReply, _context: RequestContext) -> RerankReply:
            self.asked.set()
            await self.may_end.wait()
            self.told.append("answered")
            return request

        subject = subjects.rerank(reference)
        worker.serve(Endpoint("rerank", subject, RerankReply, handler, reference))
        worker.loaded(reference, "0" * 64)

    async def let_go(self, _worker: Worker, reference: str) -> None:
        await self.may_go.wait()
        self.told.append(f"unloaded {reference}")

    def worker(self, place: DeploymentSettings, drain_timeout_s: float = 20.0) -> Worker:
        async def load(worker: Worker) -> None:
            for reference in ("mlp-full@2", "mlp-own@1"):
                await self.serve(worker, reference)

        return Worker(
            "reranker",
            "A test's",
            place,
            RerankerSettings(instance="r-0", drain_timeout_s=drain_timeout_s),
            load,
            stage="rerank",
            load_component=self.serve,
            unload_component=self.let_go,
            keep_s=0.0,
        )


async def has(worker: Worker, *components: str) -> None:
    async with asyncio.timeout(60):
        while set(worker.identity.components) != set(components):
            await asyncio.sleep(0.01)


async def nobody_serves(connection: NatsClient, subject: str) -> None:
    """Wait until nobody takes requests; nonsense is refused before any handler, while somebody does."""
    async with asyncio.timeout(60):
        with contextlib.suppress(nats.errors.NoRespondersError):
            while True:
                await connection.request(subject, b"nonsense", timeout=30)


async def test_what_a_deleted_release_brought_answers_what_it_was_asked_and_is_unloaded_then(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    client, place, shelf = Client(connection), deployment(nats_server, tmp_path), Shelf()
    subject = subjects.rerank("mlp-new@1")
    async with (
        running(build_controller(place, ControllerSettings(instance="c-0"))),
        running(shelf.worker(place)) as worker,
    ):
        await steer(client, CreateReleaseCommand(release=release("new", "mlp-new@1")))
        made = await steer(client, CreateReleaseCommand(release=release("own", "mlp-own@1")))
        await obeys(worker, made.revision)
        context = stream.context(timeout_s=60)
        asking = asyncio.create_task(Caller(connection).call(subject, MOVED, RerankReply, context))
        async with asyncio.timeout(60):
            await shelf.asked.wait()
        await steer(client, DeleteReleaseCommand(release="own"))
        await steer(client, DeleteReleaseCommand(release="new"))
        await nobody_serves(connection, subject)
        before = list(shelf.told)
        shelf.may_end.set()
        answer = await asking
        await has(worker, "mlp-full@2", "mlp-own@1")

    assert (before, answer.message) == ([], MOVED)
    assert shelf.told == ["answered", "unloaded mlp-new@1"]


@pytest.mark.parametrize("drain_timeout_s", [0.05, 60.0])
async def test_a_release_that_comes_back_while_its_component_leaves_is_obeyed_at_once_and_served(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path, drain_timeout_s: float
) -> None:
    client, place, shelf = Client(connection), deployment(nats_server, tmp_path), Shelf()
    caller, subject, new = (
        Caller(connection),
        subjects.rerank("mlp-new@1"),
        release("new", "mlp-new@1"),
    )
    async with (
        running(build_controller(place, ControllerSettings(instance="c-0"))),
        running(shelf.worker(place, drain_timeout_s)) as worker,
    ):
        made = await steer(client, CreateReleaseCommand(release=new))
        await obeys(worker, made.revision)
        context = stream.context(timeout_s=60)
        asking = asyncio.create_task(caller.call(subject, MOVED, RerankReply, context))
        async with asyncio.timeout(60):
            await shelf.asked.wait()
        await steer(client, DeleteReleaseCommand(release="new"))
        await nobody_serves(connection, subject)
        made = await steer(client, CreateReleaseCommand(release=new))
        await obeys(worker, made.revision)
        before = list(shelf.told)
        shelf.may_end.set()
        again = await caller.call(subject, MOVED, RerankReply, stream.context(timeout_s=60))
        answer = await asking

    assert (before, shelf.told) == ([], ["answered", "answered"])
    assert answer.message == again.message == MOVED


async def test_what_is_freed_for_long_holds_up_no_release_whose_components_are_there(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    client, place, shelf = Client(connection), deployment(nats_server, tmp_path), Shelf()
    shelf.may_end.set()
    shelf.may_go.clear()
    new, context = release("new", "mlp-new@1"), stream.context(timeout_s=60)
    async with (
        running(build_controller(place, ControllerSettings(instance="c-0"))),
        running(shelf.worker(place)) as worker,
    ):
        made = await steer(client, CreateReleaseCommand(release=new))
        await obeys(worker, made.revision)
        await steer(client, DeleteReleaseCommand(release="new"))
        await has(worker, "mlp-full@2", "mlp-own@1")
        made = await steer(client, CreateReleaseCommand(release=release("own", "mlp-own@1")))
        await obeys(worker, made.revision)
        before = list(shelf.told)
        made = await steer(client, CreateReleaseCommand(release=new))
        shelf.may_go.set()
        await obeys(worker, made.revision)
        subject = subjects.rerank("mlp-new@1")
        await Caller(connection).call(subject, MOVED, RerankReply, context)

    assert (before, shelf.told) == ([], ["unloaded mlp-new@1", "answered"])


async def test_what_came_before_another_component_failed_is_served(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    shelf, subject = Shelf(), subjects.rerank("mlp-base@1")
    shelf.may_end.set()
    known = controls(state("base", "bad", canary=canary("bad", 500)))
    async with running(shelf.worker(deployment(nats_server, tmp_path))) as worker:
        await worker.controls.apply(known)
        context = stream.context(timeout_s=60)
        answer = await Caller(connection).call(subject, MOVED, RerankReply, context)

    assert worker.controls.current is None, "it was refused"
    assert answer.message == MOVED


async def test_an_index_of_a_deleted_release_is_gone_and_comes_back_with_the_release(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    client, place = Client(connection), deployment(nats_server, tmp_path)
    shipped = stream.component(tmp_path / "shipped", PLAN)
    stream.component(shipped, PLAN, version="2")
    await stream.write(connection, [stream.message(f"p{n}", VECTORS[n]) for n in range(20)])
    worker = build_retriever(place, RetrieverSettings(instance="retriever-1", shipped=shipped))
    worker.keep_s = 0.0
    second, subject = release("next", retrieve="hybrid@2"), subjects.retrieve("hybrid@2")
    async with (
        running(build_controller(place, ControllerSettings(instance="c-0"))),
        running(worker) as retriever,
    ):
        made = await steer(client, CreateReleaseCommand(release=second))
        await obeys(retriever, made.revision)
        both = set(retriever.identity.components)
        await steer(client, DeleteReleaseCommand(release="next"))
        await has(retriever, "hybrid@1")
        async with asyncio.timeout(60):
            while any(key.endswith("hybrid@2") for key in retriever.identity.facts):
                await asyncio.sleep(0.01)
        await nobody_serves(connection, subject)
        first = await stream.ask(connection, VECTORS[7], limit=3)
        made = await steer(client, CreateReleaseCommand(release=second))
        await obeys(retriever, made.revision)
        again = await stream.ask(connection, VECTORS[7], limit=3, subject=subject)

    assert both == {"hybrid@1", "hybrid@2"}
    assert first.message.hits[0].id == again.message.hits[0].id == "p7"
