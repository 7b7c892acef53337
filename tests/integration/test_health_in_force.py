"""``/health`` of a live gateway shows what is in force, and shows it changed as soon as the control state is."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from nats.aio.client import Client as NatsClient

from services.controller.app import build as build_controller
from services.controller.settings import ControllerSettings
from services.gateway.app import build as build_gateway
from services.gateway.settings import GatewaySettings
from tests.unit.control.documents import release
from tests.unit.retriever import corpora, stream
from tests.workers import deployment, running
from trimtab.bus.local_server import LocalServer
from trimtab.client import Client
from trimtab.contracts.control import Switch
from trimtab.contracts.orders import (
    Command,
    CreateReleaseCommand,
    KillCommand,
    Order,
    RestoreCommand,
    RollBackCommand,
    SetCommand,
    SetWeightCommand,
    StartCanaryCommand,
)
from trimtab.control.store import ControlStore

pytestmark = pytest.mark.integration

BASE = release("base", rerank="mlp-full@2")
PASSAGES = 5


@dataclass
class Scene:
    """A gateway, a retriever with five passages and a controller; nobody encodes, reranks or maps."""

    client: Client
    http: httpx.AsyncClient

    async def ordered(self, command: Command) -> dict[str, Any]:
        """Have the controller carry it out; return the health once the gateway knows of it."""
        order = Order(
            operation=uuid.uuid4().hex, command=command, actor="test", reason="test", force=True
        )
        revision = (await self.client.order(order, timeout_s=60)).revision
        return await self.once(lambda found: bool(found["revision"] >= revision))

    async def once(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the health as soon as something holds of it."""
        async with asyncio.timeout(60):
            while not holds(found := await self.health()):
                await asyncio.sleep(0.05)
        return found

    async def health(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.http.get("/health")).json()
        return found


@pytest.fixture
async def scene(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> AsyncIterator[Scene]:
    vectors = corpora.unit(np.random.default_rng(1), PASSAGES)
    await stream.write(connection, [stream.message(str(n), vectors[n]) for n in range(PASSAGES)])
    await (await ControlStore.open(connection, create=True)).initialise(BASE, "test")
    home = deployment(nats_server, tmp_path)
    gateway = build_gateway(home, GatewaySettings(instance="g-0", api_port=0))
    controller = build_controller(home, ControllerSettings(instance="c-0"))
    async with (
        running(controller),
        running(stream.worker(nats_server, tmp_path)),
        running(gateway),
        httpx.AsyncClient(
            base_url=str(gateway.identity.facts["api_url"]), timeout=60, trust_env=False
        ) as http,
    ):
        yield Scene(Client(connection), http)


def gets(weight_bp: int) -> Callable[[dict[str, Any]], bool]:
    return lambda found: bool(found["in_force"]["canary"]["weight_bp"] == weight_bp)


async def test_every_switch_shows_while_it_is_thrown_and_no_longer(scene: Scene) -> None:
    before = (await scene.health())["in_force"]
    kills = {
        Switch.RERANKER: "off",
        Switch.RETRIEVER_IMPL: "mean",
        Switch.MAPPER_MODE: "rules_only",
        Switch.PIPELINE: "closed",
    }
    for switch, value in kills.items():
        await scene.ordered(KillCommand(switch=switch, value=value))
    thrown = (await scene.health())["in_force"]
    for switch in kills:
        await scene.ordered(RestoreCommand(switch=switch))
    after = (await scene.health())["in_force"]

    assert before["stable"]["components"]["rerank"] == "mlp-full@2"
    assert "rerank" not in thrown["stable"]["components"]
    assert thrown["stable"]["reranker"] == "off"
    assert thrown["stable"]["retriever_impl"] == "mean"
    assert (thrown["mapper_mode"], thrown["pipeline"]) == ("rules_only", "closed")
    assert {each["switch"]: each["value"] for each in thrown["switches"]} == kills
    assert after == before


async def test_nprobe_shows_the_components_own_until_an_operator_sets_another(scene: Scene) -> None:
    before = (await scene.health())["in_force"]["stable"]["nprobe"]
    during = await scene.ordered(SetCommand(name="retriever.nprobe", value=before + 3))
    after = await scene.ordered(SetCommand(name="retriever.nprobe", value=None))

    assert during["in_force"]["stable"]["nprobe"] == before + 3
    assert after["in_force"]["stable"]["nprobe"] == before


async def test_a_canary_shows_with_its_weight_and_components_until_it_is_taken_back(
    scene: Scene,
) -> None:
    await scene.ordered(CreateReleaseCommand(release=release("next", rerank=None)))
    await scene.ordered(StartCanaryCommand(release="next", weight_bp=500))
    started = await scene.once(gets(500))  # nothing before the gateway hears who leads
    await scene.ordered(SetWeightCommand(weight_bp=2500))
    await scene.once(gets(2500))
    ended = await scene.ordered(RollBackCommand())

    canary = started["in_force"]["canary"]
    assert (canary["release"], canary["step"], canary["phase"]) == ("next", 0, "running")
    assert (canary["reranker"], started["in_force"]["stable"]["reranker"]) == ("off", "on")
    assert ended["in_force"]["canary"] is None


async def test_passages_are_counted_by_collection(scene: Scene) -> None:
    found = await scene.health()

    assert found["collections"] == {"docs": PASSAGES}
    assert found["index_size"] == PASSAGES
