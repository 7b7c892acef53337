"""A mapper worker with engines of several kinds over a real nats-server, steered by a test without a controller."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from nats.aio.client import Client as NatsClient

from services.mapper.app import build
from services.mapper.engines.card import EngineCard
from services.mapper.settings import MapperSettings
from tests.integration.mapper_rigs import engine_component
from tests.integration.model_server import BASE
from tests.unit.control.documents import release
from tests.unit.mapper.shipped import request
from tests.workers import deployment, running
from trimtab.artifacts.store import ArtifactStore
from trimtab.bus.caller import Answer, Caller
from trimtab.bus.local_server import LocalServer
from trimtab.contracts import subjects
from trimtab.contracts.component import Release
from trimtab.contracts.headers import RequestContext, now_ms
from trimtab.contracts.mapping import MapReply
from trimtab.contracts.orders import Command, Order
from trimtab.control.execute import execute
from trimtab.control.store import ControlStore
from trimtab.worker.service import Worker
from trimtab.worker.unloading import KEEP_S

HEAD = "safety-head@1"
TEXT = "you are an idiot"


def mapping_release(name: str, reference: str) -> Release:
    """A release whose map stage is the named component."""
    return msgspec.structs.replace(release(name), map=reference)


async def push(
    connection: NatsClient, folder: Path, reference: str, kind: str, seed: int | None = None
) -> None:
    """Make a language model's component and put it where every worker fetches from."""
    card = EngineCard(
        kind="openai" if kind == "openai" else "vllm",
        model=BASE,
        candidates=HEAD,
        timeout_ms=60_000,
    )
    made = await asyncio.to_thread(engine_component, folder / reference, reference, card, seed)
    await (await ArtifactStore.open(connection)).push(made)


@dataclass
class Steered:
    """The worker, and the hand that steers it."""

    worker: Worker
    store: ControlStore
    connection: NatsClient

    async def ask(
        self, text: str = TEXT, reference: str = "", budget_ms: int = 120_000, **fields: Any
    ) -> Answer[MapReply]:
        """Ask a component; without a name the one of the release that is stable now."""
        controls = self.worker.controls.current
        assert controls is not None
        context = RequestContext(uuid.uuid4().hex, "public", now_ms() + budget_ms, release="base")
        subject = subjects.mapping(reference or controls.release.map)
        return await Caller(self.connection).call(
            subject, request(text, **fields), MapReply, context
        )

    async def order(self, command: Command) -> None:
        """Write a command, and wait until the worker obeys."""
        order = Order(operation=uuid.uuid4().hex, command=command, actor="ana", reason="test")
        outcome, _ = await execute(self.store, order, now=time.time())
        async with asyncio.timeout(120):
            while self.worker.controls.revision < outcome.revision:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def steered(
    server: LocalServer,
    connection: NatsClient,
    home: Path,
    stable: str,
    *,
    keep_s: float = KEEP_S,
    **settings: Any,
) -> AsyncIterator[Steered]:
    """Run a mapper whose stable release maps with ``stable``; ``keep_s`` is the worker's."""
    store = await ControlStore.open(connection, create=True)
    await store.initialise(mapping_release("base", stable), "test")
    worker = build(deployment(server, home), MapperSettings(**settings))
    worker.keep_s = keep_s
    async with running(worker, timeout_s=120):
        yield Steered(worker, store, connection)
