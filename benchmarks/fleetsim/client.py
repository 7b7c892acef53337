"""A machine's NATS client: what it sends may get lost on either way, or arrive after the sender gave up.

It stands where ``nats.aio.client.Client`` stands, as far as the control code uses it.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

import nats.errors
import nats.js.errors

from benchmarks.fleetsim.bus import Entry, Handler, Message, Server, Subscription
from benchmarks.fleetsim.clock import Machine, on
from trimtab.contracts.subjects import CONTROL_BUCKET

_TIMEOUT_S = 2.0
"""Its patience with a key-value request."""


@dataclass
class Connection:
    """One machine's client."""

    server: Server
    machine: Machine
    arrived: Callable[[Message], None] = field(default=lambda _message: None)
    """Told of every message that reaches the machine, before it is handled."""

    @property
    def is_connected(self) -> bool:
        """Whether the link is up."""
        return self.server.reaches(self.machine)

    async def publish(self, subject: str, data: bytes) -> None:
        """Send; as with NATS nobody says whether it arrived."""
        self.server.send(self.machine, subject, data)

    async def subscribe(self, subject: str, cb: Handler) -> None:
        """Have a handler called with every message of a subject."""
        subscription = Subscription(self.machine, subject, cb, self.arrived)
        self.server.subscribe(subscription)
        self.machine.begin(self.server.loop, subscription.serve(), on(self.machine))

    async def flush(self) -> None:
        """Everything is sent at once."""

    def jetstream(self, **_options: object) -> "JetStream":
        """Return the client of the key-value buckets."""
        return JetStream(self)


@dataclass(frozen=True)
class JetStream:
    """Opens buckets."""

    connection: Connection

    async def key_value(self, bucket: str) -> "Bucket":
        """Open a bucket that is there."""
        opened = Bucket(self.connection, bucket)
        await opened.reach(quick=True)
        if bucket not in self.connection.server.buckets:
            raise nats.js.errors.BucketNotFoundError
        return opened

    async def create_key_value(self, *, bucket: str, **_config: object) -> "Bucket":
        """Make a bucket, or open it."""
        opened = Bucket(self.connection, bucket)
        await opened.reach(quick=True)
        self.connection.server.buckets.setdefault(bucket, {})
        return opened


@dataclass(frozen=True)
class Bucket:
    """One machine's view of a bucket."""

    connection: Connection
    name: str

    async def get(self, key: str) -> Entry:
        """Read a key; the answer may be old when it arrives."""
        left_s = await self.reach()
        entry = self.connection.server.buckets[self.name].get(key)
        await self._return(left_s)
        if entry is None:
            raise nats.js.errors.KeyNotFoundError
        return entry

    async def update(self, key: str, value: bytes, last: int | None = None) -> int:
        """Write over a revision; the write may happen although its answer is lost, also later."""
        machine = self.connection.machine
        if machine.frozen_at_write_s and self.name == CONTROL_BUCKET:
            machine.freeze(self.connection.server.loop.time(), machine.frozen_at_write_s)
            machine.frozen_at_write_s = 0.0
            self.connection.server.faults["processes frozen while they wrote"] += 1
        left_s = await self.reach(late=lambda: self._store_late(key, value, last))
        revision = self.connection.server.store(self.name, key, value, last)
        await self._return(left_s)
        return revision

    async def create(self, key: str, value: bytes) -> int:
        """Write a key that is not there."""
        return await self.update(key, value, last=0)

    async def reach(self, *, quick: bool = False, late: Callable[[], None] | None = None) -> float:
        """Travel to the server and return how long the client still waits for an answer.

        ``late`` is what happens when the request gets there after the client gave up.

        Raises:
            TimeoutError: of the client; the server did not have the request by then.
        """
        server, machine = self.connection.server, self.connection.machine
        gone = machine.dead or not server.stores()
        if gone or server.draw.random() < server.noise.drop / 4:
            return await self._give_up("requests lost")
        travels_s = 0.0 if quick else 0.0002 + 0.002 * server.draw.random() + self._held()
        if not server.reaches(machine):
            # The client keeps what it could not send, and sends it when the link is back.
            if late is None or server.draw.random() < 0.5:
                return await self._give_up("requests lost")
            travels_s = _TIMEOUT_S + server.linked_at(machine) - server.loop.time()
        if travels_s >= _TIMEOUT_S:
            if late is not None:
                server.loop.call_later(travels_s, late)
            return await self._give_up("requests late")
        if not quick:
            await asyncio.sleep(travels_s)
            if machine.dead:
                raise nats.errors.ConnectionClosedError
        return _TIMEOUT_S - travels_s

    async def _give_up(self, fault: str) -> float:
        self.connection.server.faults[fault] += 1
        await asyncio.sleep(_TIMEOUT_S)
        raise nats.errors.TimeoutError

    def _store_late(self, key: str, value: bytes, last: int | None) -> None:
        server = self.connection.server
        if not server.reaches(self.connection.machine) or not server.stores():
            return
        with contextlib.suppress(nats.js.errors.KeyWrongLastSequenceError):
            server.store(self.name, key, value, last)
            server.faults["writes after their sender gave up"] += 1

    async def _return(self, left_s: float) -> None:
        """Travel back.

        Raises:
            TimeoutError: of the client; the request was carried out all the same.
        """
        server, machine = self.connection.server, self.connection.machine
        held = self._held()
        lost = not server.reaches(machine) or server.draw.random() < server.noise.drop / 4
        if lost or held >= left_s:
            server.faults["answers lost"] += 1
            await asyncio.sleep(left_s)
            raise nats.errors.TimeoutError
        if held:
            await asyncio.sleep(held)

    def _held(self) -> float:
        server = self.connection.server
        if server.noise.hold and server.draw.random() < server.noise.hold:
            return server.noise.hold_s * server.draw.random()
        return 0.0
