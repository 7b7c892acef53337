"""Orders and observations for the drills of the control plane."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec
from nats.aio.msg import Msg

from services.controller.settings import ControllerSettings
from trimtab.bus.connection import settle
from trimtab.client import Client
from trimtab.contracts import subjects
from trimtab.contracts.component import Release
from trimtab.contracts.control import Applied, ApplyStatus, Canary
from trimtab.contracts.errors import ErrorCode, TrimtabError
from trimtab.contracts.gates import Gate, GateReport
from trimtab.contracts.message import decode
from trimtab.contracts.orders import (
    Command,
    CreateReleaseCommand,
    Order,
    Outcome,
    RecordGateCommand,
)
from trimtab.contracts.samples import Sample
from trimtab.control.effective import Controls
from trimtab.control.store import ControlStore


def order(command: Command, *, force: bool = False, operation: str = "") -> Order:
    """Return an order, with a fresh operation id unless one is given."""
    return Order(
        operation=operation or uuid.uuid4().hex,
        command=command,
        actor="drill",
        reason="drill",
        force=force,
    )


async def insist(client: Client, asked: Order) -> tuple[Outcome, int]:
    """Send one order again and again, as it is, until it is answered; return the tries it took too.

    What an operator's tool does when an answer is lost: the operation id makes it the same order.
    """
    tries = 0
    async with asyncio.timeout(90):
        while True:
            tries += 1
            try:
                return await client.order(asked, timeout_s=1), tries
            except TrimtabError as error:
                if not (error.retryable or error.code is ErrorCode.DEADLINE):
                    raise
            await asyncio.sleep(0.05)


async def steer(client: Client, command: Command, *, force: bool = False) -> Outcome:
    """Have the controller carry a command out; ``force`` where a drill runs without all the stages."""
    return await client.order(order(command, force=force), timeout_s=20)


async def obeyed(client: Client, revision: int, workers: int, timeout_s: float = 30.0) -> float:
    """Wait until ``workers`` workers obey a revision, each by its own word; return the seconds it took."""
    began = time.monotonic()
    async with asyncio.timeout(timeout_s):
        while sum(s.revision >= revision for s in await client.health(window_s=0.1)) < workers:
            await asyncio.sleep(0.01)
    return time.monotonic() - began


async def of(client: Client, service: str) -> list[Sample]:
    """Return what the workers of a service say of themselves."""
    return [sample for sample in await client.health() if sample.service == service]


async def stored(client: Client) -> Controls:
    """Return both documents as they are stored."""
    return await (await ControlStore.open(client.connection)).read()


async def canary(client: Client) -> Canary:
    """Return the rollout as it is stored; there must have been one."""
    found = (await stored(client)).state.canary
    assert found is not None
    return found


def release(name: str, **components: str | None) -> Release:
    """Return the first release with another name and some other components."""
    first = ControllerSettings().first_release.read_bytes()
    base = msgspec.json.decode(first, type=Release)
    return msgspec.structs.replace(base, name=name, **components)


async def offer(client: Client, new: Release, *components: str) -> None:
    """Create a release and wait until the controller knows of workers that have loaded ``components``.

    Its quality counts as measured: a drill is of what serves, not of how good it is.
    """
    await steer(client, CreateReleaseCommand(release=new))
    await steer(client, RecordGateCommand(report=good_quality(new)))
    async with asyncio.timeout(60):
        while not set(components) <= await _loaded(client):
            await asyncio.sleep(0.1)


def good_quality(new: Release) -> GateReport:
    """Return a report of golden cases that any environment accepts of a mapper."""
    return GateReport(
        gate=Gate.QUALITY,
        release=new.name,
        release_hash=new.hash,
        cases=720,
        cases_hash="ab" * 32,
        figures={
            "failed_checks": 0.0,
            "schema_valid": 1.0,
            "f1": 1.0,
            "f1_held_out": 1.0,
            "p95_ms": 10.0,
            "fallback": 0.0,
            "golden_cases": 100.0,
            "taxonomy_coverage": 1.0,
        },
        at=time.time(),
    )


async def _loaded(client: Client) -> set[str]:
    workers = (await client.status(timeout_s=20)).workers
    return {component for worker in workers for component in worker.components}


@dataclass
class Acknowledgements:
    """Every acknowledgement since it began to listen."""

    words: list[Applied] = field(default_factory=list)
    """In the order of their arrival."""

    async def applied(self, revision: int, instances: Collection[str]) -> float:
        """Wait until each instance said that it applied ``revision`` or a newer one.

        Returns:
            When the last one did, unix seconds by its own clock.
        """
        async with asyncio.timeout(60):
            while not set(instances) <= (first := self._first(revision)).keys():
                await asyncio.sleep(0.005)
        return max(first[instance] for instance in instances)

    async def said(
        self, status: ApplyStatus, instances: Collection[str], after: float = 0.0
    ) -> float:
        """Wait until each instance said ``status`` after an instant; return when the last one did."""
        async with asyncio.timeout(60):
            while not set(instances) <= (first := self._of(status, after)).keys():
                await asyncio.sleep(0.005)
        return max(first[instance] for instance in instances)

    def _first(self, revision: int) -> dict[str, float]:
        applied = [w for w in self.words if w.status is ApplyStatus.APPLIED]
        return {w.instance: w.at for w in reversed(applied) if w.revision >= revision}

    def _of(self, status: ApplyStatus, after: float) -> dict[str, float]:
        said = [w for w in self.words if w.status is status and w.at >= after]
        return {w.instance: w.at for w in reversed(said)}


@asynccontextmanager
async def acknowledgements(client: Client) -> AsyncIterator[Acknowledgements]:
    """Listen to what every worker acknowledges, for the length of the block."""
    heard = Acknowledgements()

    async def hear(message: Msg) -> None:
        heard.words.append(decode(Applied, message.data))

    subscription = await client.connection.subscribe(subjects.APPLIED, cb=hear)
    await settle(client.connection)
    yield heard
    await subscription.unsubscribe()
