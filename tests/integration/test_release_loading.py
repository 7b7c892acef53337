"""Components of a new release are loaded while traffic flows, and a bad one harms nobody."""

import asyncio
import uuid
from pathlib import Path

import pytest
from nats.aio.client import Client as NatsClient

from services.controller.app import build as build_controller
from services.controller.settings import ControllerSettings
from services.reranker.app import build as build_reranker
from services.reranker.settings import RerankerSettings
from tests.workers import deployment, running
from trimtab.bus.local_server import LocalServer
from trimtab.client import Client
from trimtab.contracts.component import Release
from trimtab.contracts.control import (
    Command,
    CreateReleaseCommand,
    Order,
    Outcome,
    RollBackCommand,
    StartCanaryCommand,
)
from trimtab.contracts.errors import RemoteError
from trimtab.worker.service import Worker

pytestmark = pytest.mark.integration


def release(name: str, rerank: str) -> Release:
    return Release(
        name=name,
        encode="minilm-int8@1",
        retrieve="hybrid@1",
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

    assert set(reranker.identity.components) == {"mlp-full@1", "mlp-runbook4@1"}


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
    assert set(reranker.identity.components) == {"mlp-full@1"}
