"""Real controllers and workers on a real server: orders are obeyed, acknowledged and survive faults."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nats.aio.client import Client as NatsClient

from services.controller.app import build as build_controller
from services.controller.settings import ControllerSettings
from tests.workers import deployment, running
from trimtab.bus.caller import Caller
from trimtab.bus.local_server import LocalServer
from trimtab.bus.server import Endpoint
from trimtab.contracts import subjects
from trimtab.contracts.control import Switch
from trimtab.contracts.errors import ErrorCode, RemoteError
from trimtab.contracts.headers import RequestContext, now_ms
from trimtab.contracts.message import Message
from trimtab.contracts.orders import (
    Command,
    KillCommand,
    Order,
    Outcome,
    RestoreCommand,
    SetCommand,
)
from trimtab.contracts.samples import StatusReply, StatusRequest
from trimtab.control.execute import execute
from trimtab.control.store import ControlStore
from trimtab.worker.service import Worker
from trimtab.worker.settings import WorkerSettings

pytestmark = pytest.mark.integration

SUBJECT = "trimtab.v1.rerank.echo-1"


class Ask(Message, frozen=True, kw_only=True):
    """A request of this test's own."""

    text: str = "x"


def context() -> RequestContext:
    return RequestContext(uuid.uuid4().hex, "acme", now_ms() + 5000, release="base")


def echo(server: LocalServer, home: Path, instance: str = "echo-0") -> Worker:
    async def answer(request: Ask, _context: RequestContext) -> Ask:
        return request

    async def load(worker: Worker) -> None:
        worker.serve(Endpoint("rerank", SUBJECT, Ask, answer, "echo@1"))

    settings = WorkerSettings(instance=instance)
    return Worker("reranker", "echoes", deployment(server, home), settings, load)


def controller(server: LocalServer, home: Path, instance: str = "c-0") -> Worker:
    return build_controller(deployment(server, home), ControllerSettings(instance=instance))


def order(command: Command, **how: object) -> Order:
    fields: dict[str, object] = {"operation": uuid.uuid4().hex, "actor": "test", "reason": "drill"}
    return Order(command=command, **{**fields, **how})  # type: ignore[arg-type]


async def ask(connection: NatsClient) -> Ask:
    return (await Caller(connection).call(SUBJECT, Ask(), Ask, context())).message


async def command(connection: NatsClient, command: Command, **how: object) -> Outcome:
    caller = Caller(connection)
    return (await caller.call(subjects.COMMAND, order(command, **how), Outcome, context())).message


async def status(connection: NatsClient) -> StatusReply:
    caller = Caller(connection)
    return (await caller.call(subjects.STATUS, StatusRequest(), StatusReply, context())).message


async def converged(connection: NatsClient) -> bool:
    found = (await status(connection)).convergence
    return found is not None and found.status == "converged"


async def obeyed(worker: Worker, revision: int) -> None:
    while worker.controls.current is None or worker.controls.current.revision < revision:
        await asyncio.sleep(0.005)


CLOSE = KillCommand(switch=Switch.PIPELINE, value="closed")
OPEN = RestoreCommand(switch=Switch.PIPELINE)


@asynccontextmanager
async def fleet(server: LocalServer, home: Path) -> AsyncIterator[tuple[Worker, Worker]]:
    async with (
        running(controller(server, home)) as leader,
        running(echo(server, home)) as worker,
    ):
        yield leader, worker


async def test_a_kill_is_obeyed_acknowledged_and_taken_back(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    async with fleet(nats_server, tmp_path) as (_, worker):
        await ask(connection)

        killed = await command(connection, CLOSE)
        await obeyed(worker, killed.revision)
        with pytest.raises(RemoteError) as refused:
            await ask(connection)
        while not await converged(connection):
            await asyncio.sleep(0.05)
        restored = await command(connection, OPEN)
        await obeyed(worker, restored.revision)

        await ask(connection)
    assert refused.value.code == ErrorCode.DISABLED
    assert killed.changed
    assert restored.revision > killed.revision


async def test_the_same_operation_twice_changes_nothing_the_second_time(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    async with fleet(nats_server, tmp_path):
        first = await command(connection, CLOSE, operation="one-and-the-same")
        again = await command(connection, CLOSE, operation="one-and-the-same")

    assert first.changed
    assert not again.changed
    assert again.revision == first.revision


async def test_a_dry_run_says_what_would_change_and_writes_nothing(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    async with fleet(nats_server, tmp_path):
        before = (await status(connection)).revision
        nprobe = SetCommand(name="retriever.nprobe", value=4)
        tried = await command(connection, nprobe, dry_run=True)
        after = (await status(connection)).revision

    assert (tried.status, before) == ("dry_run", after)
    assert any("retriever.nprobe" in line for line in tried.diff)


async def test_an_order_that_expects_another_revision_is_refused(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    async with fleet(nats_server, tmp_path):
        with pytest.raises(RemoteError) as refused:
            await command(connection, CLOSE, expect_revision=999)

    assert refused.value.code == ErrorCode.CONFLICT


async def test_a_kill_with_the_controller_dead_is_obeyed_all_the_same(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    async with running(echo(nats_server, tmp_path)) as worker:
        async with running(controller(nats_server, tmp_path)):
            await ask(connection)
        store = await ControlStore.open(connection)
        outcome, _ = await execute(store, order(CLOSE), now=now_ms() / 1000)
        await obeyed(worker, outcome.revision)

        with pytest.raises(RemoteError) as refused:
            await ask(connection)
    assert refused.value.code == ErrorCode.DISABLED


async def test_a_late_joiner_obeys_before_its_first_reply(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    async with running(controller(nats_server, tmp_path)):
        await command(connection, CLOSE)
        async with running(echo(nats_server, tmp_path)):
            with pytest.raises(RemoteError) as refused:
                await ask(connection)

    assert refused.value.code == ErrorCode.DISABLED


async def test_a_kill_ends_by_the_workers_own_clock_when_its_ttl_is_over(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    async with fleet(nats_server, tmp_path) as (_, worker):
        short = KillCommand(switch=Switch.PIPELINE, value="closed", ttl_s=0.5)
        killed = await command(connection, short)
        await obeyed(worker, killed.revision)
        refused = 0
        answered = False
        while not answered:
            try:
                await ask(connection)
                answered = True
            except RemoteError:
                refused += 1
                await asyncio.sleep(0.02)

    assert refused > 0


async def test_the_last_good_state_on_disk_is_obeyed_when_jetstream_is_away(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    async with fleet(nats_server, tmp_path) as (_, worker):
        killed = await command(connection, CLOSE)
        await obeyed(worker, killed.revision)
    await connection.jetstream().delete_key_value(subjects.CONTROL_BUCKET)

    async with running(echo(nats_server, tmp_path)):
        with pytest.raises(RemoteError) as refused:
            await ask(connection)

    assert refused.value.code == ErrorCode.DISABLED


async def test_of_two_controllers_one_leads_and_the_other_takes_over(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    async with running(controller(nats_server, tmp_path, "c-1")):
        async with running(controller(nats_server, tmp_path, "c-0")):
            while not (leader := (await status(connection)).leader):
                await asyncio.sleep(0.05)
        # c-0 is gone; whoever led, c-1 leads now or soon
        while (await status(connection)).leader != "c-1":
            await asyncio.sleep(0.1)

    assert leader in ("c-0", "c-1")
