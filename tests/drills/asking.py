"""Callers for drills: many at once, at a fixed concurrency or a fixed rate, every outcome counted."""

import asyncio
import itertools
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import nats.errors
from nats.aio.client import Client as NatsClient

from trimtab.contracts import headers as names
from trimtab.contracts.errors import (
    DeadlineExceeded,
    ErrorReply,
    NoWorkers,
    RemoteError,
    TrimtabError,
)
from trimtab.contracts.headers import RequestContext, now_ms
from trimtab.contracts.message import Message, decode, encode

Ask = Callable[[], Awaitable[object]]
"""Sends one request and returns its answer, or raises a typed error."""


def context(budget_ms: int, request_id: str = "") -> RequestContext:
    """Return the context of a new request with a deadline ``budget_ms`` from now."""
    return RequestContext(request_id or uuid.uuid4().hex, "public", now_ms() + budget_ms)


async def until(condition: Callable[[], object], timeout_s: float = 60.0) -> None:
    """Wait for something that other processes do."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


async def ask_once(connection: NatsClient, subject: str, request: Message, budget_ms: int) -> None:
    """Send a request and never again: what a load does, and what costs the machine least.

    Raises:
        TrimtabError: what the service replied, or that no reply came in time.
    """
    try:
        reply = await connection.request(
            subject, encode(request), timeout=budget_ms / 1000, headers=context(budget_ms).wire()
        )
    except nats.errors.NoRespondersError:
        raise NoWorkers(subject) from None
    except nats.errors.TimeoutError:
        raise DeadlineExceeded(subject, 0.0) from None
    if names.ERROR in (reply.headers or {}):
        raise RemoteError(decode(ErrorReply, reply.data))


@dataclass
class Tally:
    """What became of many requests."""

    outcomes: Counter[str] = field(default_factory=Counter)
    """``ok`` or the error's code."""
    took_ms: list[float] = field(default_factory=list)
    """Of those answered."""
    slowest_refusal_ms: float = 0.0
    """Longest time to an error."""
    seconds: float = 0.0
    """How long requests were sent for."""

    @property
    def ok(self) -> int:
        """Requests answered."""
        return self.outcomes["ok"]

    @property
    def rate(self) -> float:
        """Requests answered per second of the load."""
        return self.ok / self.seconds

    def quantile(self, q: float) -> float:
        """Return a quantile of the time of the answers, milliseconds."""
        ordered = sorted(self.took_ms)
        return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else 0.0

    async def add(self, ask: Ask) -> None:
        """Send one request and count what came of it."""
        began = time.perf_counter()
        try:
            await ask()
        except TrimtabError as error:
            self.outcomes[error.code.value] += 1
            took_ms = (time.perf_counter() - began) * 1000
            self.slowest_refusal_ms = max(self.slowest_refusal_ms, took_ms)
        else:
            self.outcomes["ok"] += 1
            self.took_ms.append((time.perf_counter() - began) * 1000)


async def closed_loop(ask: Ask, callers: int, seconds: float) -> Tally:
    """Keep ``callers`` requests going: each asks again once it is answered."""
    tally = Tally()
    began = time.perf_counter()

    async def caller() -> None:
        while time.perf_counter() - began < seconds:
            await tally.add(ask)

    await asyncio.gather(*(caller() for _ in range(callers)))
    tally.seconds = time.perf_counter() - began
    return tally


async def open_loop(ask: Ask, per_second: float, seconds: float) -> Tally:
    """Send ``per_second`` requests a second whatever comes back, as the world does."""
    tally = Tally(seconds=seconds)
    began = time.perf_counter()
    sent: set[asyncio.Task[None]] = set()
    for number in itertools.takewhile(lambda n: n < per_second * seconds, itertools.count()):
        ahead_s = began + number / per_second - time.perf_counter()
        if ahead_s > 0:
            await asyncio.sleep(ahead_s)
        sent.add(asyncio.create_task(tally.add(ask)))
    await asyncio.gather(*sent)
    return tally
