"""A real controller ramps, judges and takes back, on real samples of requests that really failed."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nats.aio.client import Client as NatsClient

from services.controller.app import build as build_controller
from services.controller.settings import ControllerSettings
from tests.workers import deployment, running
from trimtab.audit.chain import verify
from trimtab.audit.ledger import Ledger
from trimtab.bus.caller import Caller
from trimtab.bus.ending import end
from trimtab.bus.local_server import LocalServer
from trimtab.bus.server import Endpoint
from trimtab.contracts import subjects
from trimtab.contracts.audit import AuditEntry
from trimtab.contracts.component import Release
from trimtab.contracts.control import Canary, Phase
from trimtab.contracts.errors import ModelFailed, RemoteError
from trimtab.contracts.headers import RequestContext, now_ms
from trimtab.contracts.message import Message
from trimtab.contracts.orders import (
    Command,
    CreateReleaseCommand,
    Order,
    Outcome,
    StartCanaryCommand,
)
from trimtab.control.assignment import bucket_of, role_of
from trimtab.control.effective import routing
from trimtab.control.store import ControlStore
from trimtab.worker.service import Worker
from trimtab.worker.settings import WorkerSettings

pytestmark = pytest.mark.integration

SUBJECT = "trimtab.v1.rerank.echo-1"
POLICY = """\
name: quick
source: this test
endpoint: rerank
steps:
  - {weight: 20, hold: 1s, min_requests: 20}
  - {weight: 50, hold: 1s, min_requests: 20}
max_hold: 60s
alpha: 0.01
guardrails:
  - {name: errors, endpoint: rerank, event: error, severity: critical, tolerated_ratio: 1.2, max_rate: 0.15}
"""


class Ask(Message, frozen=True, kw_only=True):
    """A request of this test's own."""

    text: str = "x"


NEXT = Release(
    name="next",
    encode="minilm-int8@1",
    retrieve="hybrid@1",
    rerank=None,
    map="safety-head@1",
    namespace="single_vector.minilm.384.v1",
)


def worker(server: LocalServer, home: Path, *, failing: bool) -> Worker:
    """A worker whose canary release fails a third of its requests, when it is the bad one."""
    seen = 0

    async def answer(request: Ask, context: RequestContext) -> Ask:
        nonlocal seen
        seen += context.release == "next"
        if failing and context.release == "next" and seen % 3 == 0:
            raise ModelFailed("the canary's model")
        return request

    async def load(built: Worker) -> None:
        built.serve(Endpoint("rerank", SUBJECT, Ask, answer, "echo@1"))

    settings = WorkerSettings(instance="echo-0")
    return Worker("reranker", "echoes", deployment(server, home), settings, load)


@asynccontextmanager
async def ramping(
    server: LocalServer, connection: NatsClient, home: Path, *, failing: bool
) -> AsyncIterator[Worker]:
    policies = home / "policies"
    policies.mkdir()
    (policies / "quick.yaml").write_text(POLICY)
    settings = ControllerSettings(instance="c-0", policies=policies)
    async with (
        running(build_controller(deployment(server, home), settings)),
        running(worker(server, home, failing=failing)) as built,
    ):
        await command(connection, CreateReleaseCommand(release=NEXT))
        start = StartCanaryCommand(release="next", policy="quick")
        await command(connection, start, force=True, reason="no real stages in this test")
        traffic = asyncio.create_task(requests(connection, built))
        yield built
        await end(traffic)


async def command(connection: NatsClient, what: Command, **how: object) -> Outcome:
    fields: dict[str, object] = {"operation": uuid.uuid4().hex, "actor": "test", "command": what}
    order = Order(**{**fields, **how})  # type: ignore[arg-type]
    context = RequestContext(uuid.uuid4().hex, "acme", now_ms() + 5000)
    return (await Caller(connection).call(subjects.COMMAND, order, Outcome, context)).message


async def requests(connection: NatsClient, built: Worker) -> None:
    """Send about a hundred requests a second, assigned as the gateway assigns them."""
    caller = Caller(connection)
    while True:
        controls = built.controls.required
        route = routing(controls, now=time.time(), leased=built.controls.leased)
        request_id = uuid.uuid4().hex
        role = role_of(bucket_of(route.salt, request_id), route.weight_bp)
        release = route.release_of(role).name
        context = RequestContext(request_id, "acme", now_ms() + 2000, release=release, role=role)
        try:
            await caller.call(SUBJECT, Ask(), Ask, context)
        except RemoteError:
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)


async def ended(built: Worker) -> Canary:
    async with asyncio.timeout(60):
        while True:
            canary = built.controls.required.state.canary
            if canary is not None and canary.phase in (Phase.PROMOTED, Phase.ROLLED_BACK):
                return canary
            await asyncio.sleep(0.05)


async def test_a_canary_that_fails_a_third_of_its_requests_is_taken_back_with_the_reason(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    async with ramping(nats_server, connection, tmp_path, failing=True) as built:
        canary = await ended(built)
        stable = built.controls.required.state.stable

    assert (canary.phase, canary.weight_bp, stable) == (Phase.ROLLED_BACK, 0, "base")
    assert "errors" in canary.cause


async def test_a_healthy_canary_climbs_its_steps_and_becomes_stable(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    async with ramping(nats_server, connection, tmp_path, failing=False) as built:
        canary = await ended(built)
        state = built.controls.required.state

    assert canary.phase is Phase.PROMOTED
    assert (state.stable, state.previous) == ("next", "base")


async def test_every_command_and_move_is_in_a_chain_that_verifies(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    async with ramping(nats_server, connection, tmp_path, failing=True) as built:
        await ended(built)
        ledger = await Ledger.open(connection, "auditor")
        async with asyncio.timeout(10):
            entries: list[AuditEntry] = []
            while not any(entry.outcome == "moved" for entry in entries):
                entries = [entry async for entry in ledger.entries()]
                await asyncio.sleep(0.05)

    assert verify(entries, []) == []
    actions = [entry.action for entry in entries]
    assert actions[:2] == ["create_release", "start_canary"]
    assert "rollout:critical_failed" in actions
    moved = next(entry for entry in entries if entry.action == "rollout:critical_failed")
    assert moved.epoch > 0
    assert any("errors" in line for line in moved.evidence)


async def test_an_audit_entry_cannot_be_deleted_through_the_api(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    async with ramping(nats_server, connection, tmp_path, failing=False):
        js = connection.jetstream()
        with pytest.raises(Exception, match="delete not permitted"):
            await js.delete_msg(subjects.AUDIT_STREAM, 1)
        with pytest.raises(Exception, match="purge not permitted"):
            await js.purge_stream(subjects.AUDIT_STREAM)


async def test_without_the_stages_a_canary_is_refused_by_its_interlocks(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    settings = ControllerSettings(instance="c-0", policies=tmp_path / "none")
    async with running(build_controller(deployment(nats_server, tmp_path), settings)):
        await command(connection, CreateReleaseCommand(release=NEXT))
        with pytest.raises(RemoteError, match="no live encoder has loaded"):
            await command(connection, StartCanaryCommand(release="next"))
        store = await ControlStore.open(connection)

        assert (await store.read()).state.canary is None
