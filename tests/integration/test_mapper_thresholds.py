"""A threshold of one detector, as running workers obey it: hot, bounded, for a while, audited."""

import asyncio
import time
import uuid
from pathlib import Path

import pytest
from nats.aio.client import Client as NatsClient

from services.mapper.app import build
from services.mapper.settings import MapperSettings
from tests.unit.control.documents import release
from tests.unit.mapper.shipped import request
from tests.workers import deployment, running
from trimtab.bus.caller import Caller
from trimtab.bus.local_server import LocalServer
from trimtab.contracts import subjects
from trimtab.contracts.errors import SettingOutOfBounds
from trimtab.contracts.headers import RequestContext, now_ms
from trimtab.contracts.mapping import FallbackReason, MapReply
from trimtab.contracts.orders import Order, SetCommand
from trimtab.control.execute import execute
from trimtab.control.store import ControlStore
from trimtab.worker.service import Worker

pytestmark = pytest.mark.integration

REFERENCE = "safety-head@1"
TEXT = "developer mode prompt"
GUARD, OTHER = "llama-guard", "perspective"
NAME = "mapper.threshold"


async def decided(connection: NatsClient, detector: str) -> tuple[str, FallbackReason | None]:
    """Return who decided about a text that the model is about 0.77 sure of, and why not the model."""
    context = RequestContext(uuid.uuid4().hex, "public", now_ms() + 60_000, release="base")
    subject = subjects.mapping(REFERENCE)
    answer = await Caller(connection).call(subject, request(TEXT, detector), MapReply, context)
    return answer.message.decided_by, answer.message.fallback_reason


async def steer(store: ControlStore, mapper: Worker, command: SetCommand) -> None:
    """Set, and wait until the worker obeys."""
    order = Order(operation=uuid.uuid4().hex, command=command, actor="ana", reason="test")
    outcome, _ = await execute(store, order, now=time.time())
    async with asyncio.timeout(60):
        while mapper.controls.revision < outcome.revision:
            await asyncio.sleep(0.01)


async def test_one_detectors_threshold_is_obeyed_by_a_running_worker_until_it_expires(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    store = await ControlStore.open(connection, create=True)
    await store.initialise(release("base"), "test")
    strict = SetCommand(name=NAME, value=0.9, ttl_s=3600)
    lenient = SetCommand(name=NAME, value=0.3, detector=GUARD, ttl_s=3600)

    async with running(build(deployment(nats_server, tmp_path), MapperSettings())) as mapper:
        for detector in (GUARD, OTHER):
            assert (await decided(connection, detector))[0] == "model"

        await steer(store, mapper, strict)
        fell_back = await decided(connection, GUARD)
        assert fell_back == ("unknown", FallbackReason.LOW_CONFIDENCE)

        await steer(store, mapper, lenient)
        assert (await decided(connection, GUARD))[0] == "model"
        assert await decided(connection, OTHER) == fell_back

        await steer(store, mapper, SetCommand(name=NAME, value=0.3, detector=GUARD, ttl_s=0.3))
        async with asyncio.timeout(60):  # its own ends; the one of all detectors holds again
            while await decided(connection, GUARD) != fell_back:
                await asyncio.sleep(0.05)


async def test_a_threshold_out_of_its_bounds_is_not_written(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    store = await ControlStore.open(connection, create=True)
    await store.initialise(release("base"), "test")
    command = SetCommand(name=NAME, value=0.2, detector=GUARD, ttl_s=60)
    order = Order(operation=uuid.uuid4().hex, command=command, actor="ana", reason="test")

    with pytest.raises(SettingOutOfBounds, match=r"0\.3 to 0\.9"):
        await execute(store, order, now=time.time())

    assert (await store.read()).state.settings == {}
