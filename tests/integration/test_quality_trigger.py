"""An evaluation that fell by more than ten points takes the release back, by itself, with the reason, and is never lost."""

import asyncio
import time
import uuid
from pathlib import Path

import msgspec
import pytest
from nats.aio.client import Client as NatsClient

from services.controller.app import build
from services.controller.evaluationdesk import EvaluationDesk
from services.controller.evaluations import Evaluations
from services.controller.evaluationstore import EvaluationStore
from services.controller.settings import ControllerSettings
from tests.fleet import Fleet
from tests.workers import deployment, running
from trimtab.bus.local_server import LocalServer
from trimtab.cli.evaluate.publish import publish
from trimtab.cli.exitcode import ExitCode
from trimtab.cli.failure import Failure
from trimtab.client import Client
from trimtab.contracts.component import Release
from trimtab.contracts.control import Phase
from trimtab.contracts.errors import NoWorkers, RemoteError
from trimtab.contracts.evaluation import Evaluation
from trimtab.contracts.orders import Command, CreateReleaseCommand, Order, StartCanaryCommand
from trimtab.contracts.subjects import EVALUATION_KEY
from trimtab.control.store import ControlStore
from trimtab.telemetry import logs

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


def evaluation(recall_at_5: float, at: float | None = None) -> Evaluation:
    return Evaluation(
        at=time.time() if at is None else at,
        release="next",
        collection="docs",
        queries=300,
        recall_at_5=recall_at_5,
        before=0.6,
    )


async def create(client: Client, base: Release) -> None:
    release = msgspec.structs.replace(base, name="next", retrieve="hybrid@2", settings={})
    await steer(client, CreateReleaseCommand(release=release))


async def start(client: Client) -> None:
    """Give a second release some of the requests."""
    await steer(client, StartCanaryCommand(release="next", weight_bp=500))


async def test_a_canary_whose_recall_fell_by_ten_points_is_taken_back(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    client, place = Client(connection), deployment(nats_server, tmp_path)
    async with running(build(place, ControllerSettings(instance="c-0"))) as controller:
        base = controller.controls.required.release
        await create(client, base)
        await start(client)
        await client.tell(evaluation(0.55))
        await client.tell(evaluation(0.45))
        async with asyncio.timeout(30):
            while (ramped := controller.controls.required.state.canary) is None or ramped.weight_bp:
                await asyncio.sleep(0.02)

    state = controller.controls.required.state
    assert (state.stable, ramped.release, ramped.phase) == (base.name, "next", Phase.ROLLED_BACK)
    assert state.actor == "trigger:Retrieval Quality"
    assert "recall_at_5_drop > 10%" in state.reason


async def test_an_acknowledged_evaluation_outlives_the_controller_that_heard_it(
    tmp_path: Path,
) -> None:
    fleet = Fleet(tmp_path)
    fleet.server.start()
    try:
        first = fleet.spawn("controller")
        await fleet.ready()
        async with Client.connect(fleet.url) as client:
            store = await ControlStore.open(client.connection)
            await create(client, (await store.read()).release)
            assert (await client.tell(evaluation(0.3))).kept
            first.kill()
            with pytest.raises(NoWorkers):
                await client.tell(evaluation(0.3))

            fleet.spawn("controller")
            await fleet.ready()
            await start(client)
            async with asyncio.timeout(60):
                while (found := (await store.read()).state).canary is None or (
                    found.canary.phase is not Phase.ROLLED_BACK
                ):
                    await asyncio.sleep(0.05)
    finally:
        fleet.close()

    assert found.actor == "trigger:Retrieval Quality"
    assert "recall_at_5_drop > 10%" in found.reason


async def test_every_controller_knows_what_one_of_them_acknowledged(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    client, log = Client(connection), logs.get("controller", "test")
    place, settings = deployment(nats_server, tmp_path / "0"), ControllerSettings(instance="c-0")
    heard = Evaluations()
    async with running(build(place, settings)) as controller:
        told = evaluation(0.45)
        assert (await client.tell(told)).kept
        assert (await client.tell(told)).kept
        assert not (await client.tell(evaluation(0.6, at=told.at - 60))).kept
        with pytest.raises(RemoteError, match="ahead of the controller's clock"):
            await client.tell(evaluation(0.6, at=told.at + 3600))

        store = await EvaluationStore.open(connection, log)
        desk = EvaluationDesk(store, heard, connection, log, controller.controls)
        await desk.recall()

    assert heard.named("next", told.at) == told


async def test_an_evaluation_that_nobody_acknowledges_is_not_called_published(
    nats_server: LocalServer,
) -> None:
    with pytest.raises(Failure, match="no controller acknowledged") as caught:
        await publish(nats_server.url, None, evaluation(0.3))

    assert caught.value.code is ExitCode.FAILED


async def test_a_document_that_nobody_can_read_does_not_stop_evaluations(
    connection: NatsClient,
) -> None:
    store = await EvaluationStore.open(connection, logs.get("controller", "test"))
    await store.bucket.put(EVALUATION_KEY, b"{not a document")
    now = time.time()

    before = await store.read()
    kept = [await store.keep(evaluation(recall, now), now) for recall in (0.5, 0.5)]

    assert before == []
    assert kept == [True, True]
    assert await store.read() == [evaluation(0.5, now)]
