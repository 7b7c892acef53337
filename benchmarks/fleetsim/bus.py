"""A NATS server as far as the control code uses one, with every fault of the bus that it must bear.

Messages are lost, doubled, held back and so reordered; links are cut, JetStream or the whole server is
away for a while.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import nats.js.errors

from benchmarks.fleetsim.clock import Machine, VirtualLoop

Handler = Callable[[Any], Awaitable[None]]
Written = Callable[[str, str, int, bytes], None]


@dataclass(frozen=True, slots=True)
class Noise:
    """How badly messages travel at present."""

    drop: float = 0.0
    """Share lost."""
    double: float = 0.0
    """Share delivered twice."""
    hold: float = 0.0
    """Share held back by up to ``hold_s``."""
    hold_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Message:
    """What a handler is called with."""

    subject: str
    data: bytes
    number: int
    """In the order of sending."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of a bucket."""

    value: bytes
    revision: int


@dataclass
class Subscription:
    """One machine's interest in a subject, served one message after another as the client does."""

    machine: Machine
    subject: str
    handler: Handler
    arrived: Callable[[Message], None]
    queue: "asyncio.Queue[Message]" = field(default_factory=asyncio.Queue)
    newest: int = 0

    def wants(self, subject: str) -> bool:
        """Return whether messages of a subject come here."""
        if self.subject.endswith(">"):
            return subject.startswith(self.subject[:-1])
        return subject == self.subject

    async def serve(self) -> None:
        """Handle what arrives until cancelled."""
        while True:
            await self.handler(await self.queue.get())


@dataclass
class Server:
    """The one NATS server."""

    loop: VirtualLoop
    draw: random.Random
    written: Written
    """Told of every value stored: bucket, key, revision, value."""
    faults: Counter[str] = field(default_factory=Counter)
    noise: Noise = Noise()
    noise_until: float = 0.0
    """True time until which messages travel badly."""
    away_until: float = 0.0
    """True time until which nothing works."""
    jetstream_away_until: float = 0.0
    """True time until which messages travel but nothing is stored or read."""
    cut_until: dict[str, float] = field(default_factory=dict)
    """Machine -> true time until which its link is down."""
    buckets: dict[str, dict[str, Entry]] = field(default_factory=dict)
    _subscriptions: list[Subscription] = field(default_factory=list)
    _revisions: Counter[str] = field(default_factory=Counter)
    _sent: int = 0

    def reaches(self, machine: Machine) -> bool:
        """Return whether a machine and the server hear each other."""
        return not machine.dead and self.loop.time() >= self.linked_at(machine)

    def linked_at(self, machine: Machine) -> float:
        """Return the true time from which a machine and the server hear each other."""
        return max(self.away_until, self.cut_until.get(machine.name, 0.0))

    def calm_since(self, machine: Machine) -> float:
        """Return the true time from which nothing stood between a machine and the documents.

        It lies in the future while something does.
        """
        return max(
            self.linked_at(machine),
            self.jetstream_away_until,
            self.noise_until,
            machine.frozen_until,
            machine.booted_at,
        )

    def disturbs(self, machine: Machine) -> bool:
        """Return whether something stands between a machine and the documents now."""
        return self.calm_since(machine) > self.loop.time()

    def stores(self) -> bool:
        """Return whether JetStream works."""
        return self.loop.time() >= max(self.away_until, self.jetstream_away_until)

    def subscribe(self, subscription: Subscription) -> None:
        """Deliver to a subscription from now on."""
        self._subscriptions.append(subscription)

    def forget(self, machine: Machine) -> None:
        """Drop a machine's subscriptions."""
        self._subscriptions = [s for s in self._subscriptions if s.machine is not machine]

    def send(self, machine: Machine, subject: str, data: bytes) -> None:
        """Carry a message to everybody who wants it."""
        if not self.reaches(machine):
            self.faults["messages lost"] += 1
            return
        self._sent += 1
        message = Message(subject, data, self._sent)
        for subscription in self._subscriptions:
            if subscription.wants(subject):
                self._carry(subscription, message)

    def _carry(self, subscription: Subscription, message: Message) -> None:
        noise, chance = self.noise, self.draw.random
        if chance() < noise.drop:
            self.faults["messages lost"] += 1
            return
        copies = 1
        if chance() < noise.double:
            self.faults["messages doubled"] += 1
            copies = 2
        for _ in range(copies):
            delay = 0.0002 + 0.003 * chance()
            if chance() < noise.hold:
                self.faults["messages delayed"] += 1
                delay += noise.hold_s * chance()
            self.loop.call_later(delay, self._arrive, subscription, message)

    def _arrive(self, subscription: Subscription, message: Message) -> None:
        if not self.reaches(subscription.machine):
            self.faults["messages lost"] += 1
            return
        if message.number < subscription.newest:
            self.faults["messages reordered"] += 1
        subscription.newest = max(subscription.newest, message.number)
        subscription.arrived(message)
        subscription.queue.put_nowait(message)

    def store(self, bucket: str, key: str, value: bytes, last: int | None) -> int:
        """Store a value over revision ``last`` (0: nothing may be there).

        Raises:
            KeyWrongLastSequenceError: something else is there.
        """
        entries = self.buckets.setdefault(bucket, {})
        known = entries[key].revision if key in entries else 0
        if last is not None and last != known:
            raise nats.js.errors.KeyWrongLastSequenceError
        self._revisions[bucket] += 1
        revision = self._revisions[bucket]
        entries[key] = Entry(value, revision)
        self.written(bucket, key, revision, value)
        return revision
