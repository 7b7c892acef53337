"""One worker over a real nats-server: every request gets a reply or a typed error."""

import asyncio
import itertools
import json
from pathlib import Path

import pytest
from nats.aio.client import Client as NatsClient
from nats.errors import FlushTimeoutError

from tests.workers import deployment, running
from trimtab.bus.caller import Caller
from trimtab.bus.local_server import LocalServer
from trimtab.bus.server import Endpoint
from trimtab.contracts import headers as names
from trimtab.contracts.errors import (
    DeadlineExceeded,
    ErrorCode,
    InternalError,
    MessageTooLarge,
    ModelFailed,
    NoWorkers,
    RemoteError,
)
from trimtab.contracts.headers import RequestContext, now_ms
from trimtab.contracts.message import Message
from trimtab.worker.service import Worker
from trimtab.worker.settings import WorkerSettings

pytestmark = pytest.mark.integration

SUBJECT = "trimtab.v1.encode.echo-1"


class Ask(Message, frozen=True, kw_only=True):
    """A request of this test's own."""

    text: str
    wait_s: float = 0.0
    fail: str = ""
    repeat: int = 1


class Told(Message, frozen=True, kw_only=True):
    """Its reply."""

    text: str
    request_id: str


class Echo:
    """Answers, after a while or with a failure, and counts what it worked on."""

    def __init__(self) -> None:
        self.calls = 0

    async def answer(self, request: Ask, context: RequestContext) -> Told:
        self.calls += 1
        await asyncio.sleep(request.wait_s)
        if request.fail == "typed":
            raise ModelFailed("the model")
        if request.fail == "crash":
            raise RuntimeError("secret value")
        return Told(text=request.text * request.repeat, request_id=context.request_id)


def context(budget_ms: int = 5000) -> RequestContext:
    return RequestContext("r-1", "acme", now_ms() + budget_ms, release="base")


def worker(server: LocalServer, home: Path, echo: Echo, *, max_in_flight: int = 64) -> Worker:
    async def load(built: Worker) -> None:
        built.serve(Endpoint("encode", SUBJECT, Ask, echo.answer, "echo@1"))

    settings = WorkerSettings(max_in_flight=max_in_flight, instance="echo-0")
    return Worker("encoder", "echoes", deployment(server, home), settings, load)


async def test_a_reply_names_the_component_and_worker_that_made_it(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    async with running(worker(nats_server, tmp_path, Echo())):
        answer = await Caller(connection).call(SUBJECT, Ask(text="hello"), Told, context())

    assert answer.message == Told(text="hello", request_id="r-1")
    assert (answer.component, answer.instance) == ("echo@1", "echo-0")


async def test_garbage_bytes_and_missing_headers_are_answered_and_the_worker_lives(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    async with running(worker(nats_server, tmp_path, Echo())):
        garbage = await connection.request(SUBJECT, b"\xff\x00", headers=context().wire())
        headless = await connection.request(SUBJECT, b"\x80")
        answer = await Caller(connection).call(SUBJECT, Ask(text="still here"), Told, context())

    assert garbage.headers
    assert garbage.headers[names.ERROR] == "InvalidMessage"
    assert garbage.headers[names.ERROR_CODE] == "422"
    assert headless.headers
    assert headless.headers[names.ERROR_CODE] == "422"
    assert answer.message.text == "still here"


async def test_an_unforeseen_fault_is_answered_without_its_message(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    async with running(worker(nats_server, tmp_path, Echo())):
        with pytest.raises(RemoteError) as crash:
            await Caller(connection).call(SUBJECT, Ask(text="x", fail="crash"), Told, context())
        with pytest.raises(RemoteError) as typed:
            await Caller(connection).call(SUBJECT, Ask(text="x", fail="typed"), Told, context())

    assert crash.value.code == ErrorCode.INTERNAL
    assert crash.value.detail == InternalError().detail
    assert typed.value.error == "ModelFailed"


async def test_nobody_serving_is_known_without_waiting_for_the_deadline(
    nats_server: LocalServer, connection: NatsClient
) -> None:
    with pytest.raises(NoWorkers):
        await Caller(connection).call(SUBJECT, Ask(text="x"), Told, context(budget_ms=600_000))


async def test_a_full_worker_sheds_at_once_and_a_retry_succeeds(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    echo = Echo()
    async with running(worker(nats_server, tmp_path, echo, max_in_flight=1)):
        caller = Caller(connection)
        long = asyncio.create_task(caller.call(SUBJECT, Ask(text="a", wait_s=0.5), Told, context()))
        while not echo.calls:
            await asyncio.sleep(0.001)
        with pytest.raises(RemoteError) as shed:
            await caller.call(SUBJECT, Ask(text="b"), Told, context())
        await long
        answer = await caller.call(SUBJECT, Ask(text="b"), Told, context())

    assert shed.value.code == ErrorCode.OVERLOADED
    assert shed.value.retryable
    assert answer.message.text == "b"


async def test_work_whose_deadline_passed_is_refused_before_it_starts(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    echo = Echo()
    async with running(worker(nats_server, tmp_path, echo)):
        late = context(budget_ms=-1).wire()
        reply = await connection.request(SUBJECT, b"\x81\xa4text\xa1x", headers=late)
        with pytest.raises(DeadlineExceeded):
            await Caller(connection).call(SUBJECT, Ask(text="x"), Told, context(budget_ms=-1))

    assert reply.headers
    assert reply.headers[names.ERROR_CODE] == "408"
    assert echo.calls == 0


async def test_an_oversized_message_is_refused_before_it_can_close_the_connection(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    async with running(worker(nats_server, tmp_path, Echo())):
        caller = Caller(connection)
        with pytest.raises(MessageTooLarge):
            await caller.call(SUBJECT, Ask(text="x" * (1 << 20)), Told, context())
        with pytest.raises(RemoteError) as grown:
            await caller.call(SUBJECT, Ask(text="x", repeat=1 << 20), Told, context())
        answer = await caller.call(SUBJECT, Ask(text="small"), Told, context())

    assert connection.is_connected
    assert grown.value.code == ErrorCode.TOO_LARGE
    assert answer.message.text == "small"


async def test_a_reply_subject_outside_the_inbox_is_never_published_to(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    echo = Echo()
    stolen = await connection.subscribe("trimtab.ctl.hint")
    async with running(worker(nats_server, tmp_path, echo)):
        await connection.publish(
            SUBJECT, b"\x81\xa4text\xa1x", reply="trimtab.ctl.hint", headers=context().wire()
        )
        await Caller(connection).call(SUBJECT, Ask(text="after"), Told, context())

    assert echo.calls == 1
    assert stolen.pending_msgs == 0


async def test_a_stopping_worker_answers_everything_that_was_queued(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    echo = Echo()
    async with running(worker(nats_server, tmp_path, echo, max_in_flight=500)) as built:
        caller = Caller(connection)
        calls = [
            asyncio.create_task(caller.call(SUBJECT, Ask(text=str(i), wait_s=0.2), Told, context()))
            for i in range(200)
        ]
        while not echo.calls:
            await asyncio.sleep(0.001)
        built.request_stop()
        answers = await asyncio.gather(*calls)

    assert sorted(int(answer.message.text) for answer in answers) == list(range(200))


async def test_standard_service_discovery_finds_the_worker_and_its_counts(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    async with running(worker(nats_server, tmp_path, Echo())):
        await Caller(connection).call(SUBJECT, Ask(text="x"), Told, context())
        ping = json.loads((await connection.request("$SRV.PING.encoder")).data)
        info = json.loads((await connection.request("$SRV.INFO.encoder.echo-0")).data)
        stats = json.loads((await connection.request("$SRV.STATS")).data)

    assert ping["type"] == "io.nats.micro.v1.ping_response"
    assert info["endpoints"][0]["subject"] == SUBJECT
    assert stats["endpoints"][0]["num_requests"] == 1
    assert stats["endpoints"][0]["average_processing_time"] > 0


async def restart(server: LocalServer, *clients: NatsClient) -> None:
    server.kill()
    server.start()
    for client in clients:
        while not client.stats["reconnects"]:
            await asyncio.sleep(0.01)
        await client.flush()


async def test_a_server_restart_needs_no_restart_of_the_worker(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    async with running(worker(nats_server, tmp_path, Echo())) as built:
        await restart(nats_server, connection, built.connection)
        answer = await Caller(connection).call(SUBJECT, Ask(text="again"), Told, context())

    assert answer.message.text == "again"


async def cut_off_leaving(built: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    flush, calls = built.connection.flush, itertools.count(1)

    async def late() -> None:
        if next(calls) >= 2:  # from the drain's own on
            raise FlushTimeoutError
        await flush()

    with monkeypatch.context() as patched:
        patched.setattr(built.connection, "flush", late)
        with pytest.raises(FlushTimeoutError):
            await built.server.leave("echo@1")
    assert not built.server.forget("echo@1"), "the server may deliver to it yet"


async def test_what_left_at_the_second_try_does_not_come_back_with_a_new_server(
    nats_server: LocalServer,
    connection: NatsClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(worker(nats_server, tmp_path, Echo())) as built:
        await cut_off_leaving(built, monkeypatch)
        await built.server.leave("echo@1")
        forgotten = built.server.forget("echo@1")
        await restart(nats_server, connection, built.connection)
        with pytest.raises(NoWorkers):
            await Caller(connection).call(SUBJECT, Ask(text="x"), Told, context())

    assert forgotten


async def test_what_was_cut_off_while_it_left_takes_requests_once_opened_and_can_leave_again(
    nats_server: LocalServer,
    connection: NatsClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(worker(nats_server, tmp_path, Echo())) as built:
        await cut_off_leaving(built, monkeypatch)
        await built.server.open()
        answer = await Caller(connection).call(SUBJECT, Ask(text="here"), Told, context())
        await built.server.leave("echo@1")
        await restart(nats_server, connection, built.connection)
        with pytest.raises(NoWorkers):
            await Caller(connection).call(SUBJECT, Ask(text="x"), Told, context())

    assert answer.message.text == "here"
