"""What ``delivery`` steers: a nats-server that syncs every write, a controller, N workers, and an operator."""

import asyncio
import contextlib
import itertools
import os
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nats.aio.msg import Msg

from benchmarks.delivery_slots import Slots
from benchmarks.delivery_workers import SERVICE, instance
from benchmarks.processes import child
from trimtab.bus.local_server import LocalServer
from trimtab.cli.steering import reached
from trimtab.client import Client
from trimtab.contracts import subjects
from trimtab.contracts.control import Applied, ApplyStatus, Switch
from trimtab.contracts.errors import TrimtabError
from trimtab.contracts.message import decode
from trimtab.contracts.orders import Command, KillCommand, Order, Outcome, RestoreCommand
from trimtab.contracts.samples import Readiness
from trimtab.control.execute import execute
from trimtab.control.heartbeats import LEASE_S
from trimtab.control.store import ControlStore

READY_S = 120.0
"""Longest wait for processes to be ready."""


@dataclass(frozen=True, slots=True)
class Steering:
    """What one command took, in milliseconds from before it was given."""

    applied: float
    """Until the last worker had swapped."""
    acknowledged: float
    """Until the operator had heard the last worker say so."""
    told: float
    """Until the controller said that the fleet has converged; 0 where nobody asked it."""


@dataclass
class Fleet:
    """The fork server of the workers."""

    process: "subprocess.Popen[bytes]"
    slots: Slots
    commands: int

    def tell(self, verb: str, first: int, count: int) -> None:
        """Have it fork or end workers."""
        os.write(self.commands, f"{verb} {first} {count}\n".encode())


@dataclass
class Operator:
    """One client that steers the fleet and listens to its acknowledgements."""

    client: Client
    store: ControlStore
    slots: Slots
    workers: range
    obeyed: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Instance -> newest revision acknowledged, when we heard it (monotonic ns)."""
    expired: dict[str, int] = field(default_factory=dict)
    """Instance -> when it last said that something ended by its own clock."""
    _all_said: asyncio.Event = field(default_factory=asyncio.Event)
    _awaited: int = 0
    _kills: "itertools.cycle[Command]" = field(
        default_factory=lambda: itertools.cycle(
            [
                KillCommand(switch=Switch.RERANKER, value="off"),
                RestoreCommand(switch=Switch.RERANKER),
            ]
        )
    )

    async def listen(self) -> None:
        """Hear every acknowledgement from now on."""
        await self.client.connection.subscribe(subjects.APPLIED, cb=self._hear)
        await self.client.connection.flush()

    def order(self, command: Command | None = None) -> Order:
        """Return an order; without a command the next of kill and restore in turn."""
        wanted = command or next(self._kills)
        return Order(operation=uuid.uuid4().hex, command=wanted, actor="bench", reason="bench")

    async def steer_directly(self) -> Steering:
        """Write from here, as `trimtab kill --direct` does."""
        began = time.monotonic_ns()
        outcome, _ = await execute(self.store, self.order(), now=time.time())
        return await self._followed(outcome, began)

    async def steer(self) -> Steering:
        """Have the controller carry it out and wait for the fleet, as `trimtab kill` does."""
        began = time.monotonic_ns()
        outcome = await self.client.order(self.order())
        found = await reached(self.client, outcome.revision, READY_S)
        told = time.monotonic_ns()
        if found.status != "converged":
            raise RuntimeError(f"the fleet did not converge: {found.status} {found.lagging}")
        return await self._followed(outcome, began, told)

    async def _followed(self, outcome: Outcome, began: int, told: int = 0) -> Steering:
        assert outcome.changed  # kill and restore in turn
        last = await self.slots.until(outcome.revision, self.workers)
        heard = await self.acknowledged(outcome.revision)
        return Steering(*((at - began) / 1e6 if at else 0.0 for at in (last, heard, told)))

    async def acknowledged(self, revision: int) -> int:
        """Wait until every worker has said that it obeys ``revision``; return when the last was heard."""
        self._awaited = revision
        async with asyncio.timeout(READY_S):
            while (at := self._heard(revision)) is None:
                self._all_said.clear()
                await self._all_said.wait()
        return at

    def _heard(self, revision: int) -> int | None:
        said = [self.obeyed.get(instance(index), (0, 0)) for index in self.workers]
        if any(obeyed < revision for obeyed, _ in said):
            return None
        return max(at for _, at in said)

    async def _hear(self, message: Msg) -> None:
        now, applied = time.monotonic_ns(), decode(Applied, message.data)
        if applied.service != SERVICE:
            return
        if applied.status is ApplyStatus.EXPIRED:
            self.expired[applied.instance] = now
        elif applied.status is ApplyStatus.APPLIED:
            self.obeyed[applied.instance] = (applied.revision, now)
            self._all_said.set()


@dataclass
class Stage:
    """Everything that runs."""

    server: LocalServer
    controller: "subprocess.Popen[bytes]"
    fleet: Fleet
    operator: Operator
    folder: Path


@contextlib.asynccontextmanager
async def staged(
    folder: Path, workers: int, *, spare: int = 0, lease_s: float = LEASE_S
) -> AsyncIterator[Stage]:
    """Run server, controller and workers until the block ends; enters once all of them are ready.

    ``spare`` more slots are there for workers that are forked later; ``lease_s`` is the canary's.
    """
    server = LocalServer(folder / "nats", sync_always=True)
    with contextlib.ExitStack() as stack:
        server.start()  # makes the folder
        stack.callback(server.stop)
        controller = stack.enter_context(_controller(folder, server.url))
        fleet = stack.enter_context(_fleet(folder, server.url, workers + spare, lease_s))
        async with Client.connect(server.url, name="operator") as client:
            operator = Operator(client, await _store(client), fleet.slots, range(workers))
            await operator.listen()
            fleet.tell("fork", 0, workers)
            await until_ready(client, workers)
            yield Stage(server, controller, fleet, operator, folder)


def _controller(
    folder: Path, url: str
) -> "contextlib.AbstractContextManager[subprocess.Popen[bytes]]":
    environment = {
        "TRIMTAB_NATS_URL": url,
        "TRIMTAB_HOME": str(folder / "home"),
        "TRIMTAB_PARENT_PID": str(os.getpid()),
        "CONTROLLER_INSTANCE": "controller-1",
    }
    log = folder / "controller.log"
    return child(log, "-m", "services.controller", environment=environment)


@contextlib.contextmanager
def _fleet(folder: Path, url: str, count: int, lease_s: float) -> Iterator[Fleet]:
    path = folder / "slots"
    slots = Slots.open(path, count)
    command = (
        "-m",
        "benchmarks.delivery_workers",
        url,
        str(folder / "home"),
        str(path),
        str(count),
    )
    lease = {"TRIMTAB_CANARY_LEASE_S": str(lease_s)}
    log = folder / "workers.log"
    with child(log, *command, environment=lease, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        try:
            yield Fleet(process, slots, process.stdin.fileno())
        finally:
            process.stdin.close()  # it ends its workers and itself
            process.wait(READY_S)


async def _store(client: Client) -> ControlStore:
    """Wait for the controller's first state."""
    async with asyncio.timeout(READY_S):
        while True:
            try:
                store = await ControlStore.open(client.connection)
                await store.read()
            except TrimtabError:
                await asyncio.sleep(0.1)
            else:
                return store


async def until_ready(client: Client, workers: int) -> None:
    """Wait until the controller sees that many workers of ours and all of them are ready."""
    async with asyncio.timeout(READY_S):
        while True:
            with contextlib.suppress(TrimtabError):
                seen = [w for w in (await client.status()).workers if w.service == SERVICE]
                ready = [w for w in seen if w.readiness is Readiness.READY and not w.silent]
                if len(ready) == len(seen) == workers:
                    return
            await asyncio.sleep(0.2)
