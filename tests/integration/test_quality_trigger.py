"""An evaluation that fell by more than ten points takes the release back, by itself, with the reason."""

import asyncio
import time
import uuid
from pathlib import Path

import pytest
from nats.aio.client import Client as NatsClient

from services.controller.app import build
from services.controller.settings import ControllerSettings
from tests.workers import deployment, running
from trimtab.bus.local_server import LocalServer
from trimtab.client import Client
from trimtab.contracts.component import Release
from trimtab.contracts.control import Phase
from trimtab.contracts.evaluation import Evaluation
from trimtab.contracts.orders import Command, CreateReleaseCommand, Order, StartCanaryCommand

pytestmark = pytest.mark.integration


async def steer(client: Client, command: Command) -> None:
    order = Order(
        operation=uuid.uuid4().hex,
        command=command,
        actor="test",
        reason="no stage runs in this test",
        force=True,
    )
    await client.order(order)


def evaluation(recall_at_5: float) -> Evaluation:
    return Evaluation(
        at=time.time(),
        release="next",
        collection="docs",
        queries=300,
        recall_at_5=recall_at_5,
        before=0.6,
    )


async def test_a_canary_whose_recall_fell_by_ten_points_is_taken_back(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    client, place = Client(connection), deployment(nats_server, tmp_path)
    async with running(build(place, ControllerSettings(instance="c-0"))) as controller:
        base = controller.controls.required.release
        release = Release(
            name="next",
            encode=base.encode,
            retrieve="hybrid@2",
            rerank=base.rerank,
            map=base.map,
            namespace=base.namespace,
        )
        await steer(client, CreateReleaseCommand(release=release))
        await steer(client, StartCanaryCommand(release="next", weight_bp=500))
        await client.tell(evaluation(0.55))
        await client.tell(evaluation(0.45))
        async with asyncio.timeout(30):
            while (ramped := controller.controls.required.state.canary) is None or ramped.weight_bp:
                await asyncio.sleep(0.02)

    state = controller.controls.required.state
    assert (state.stable, ramped.release, ramped.phase) == (base.name, "next", Phase.ROLLED_BACK)
    assert state.actor == "trigger:Retrieval Quality"
    assert "recall_at_5_drop > 10%" in state.reason
