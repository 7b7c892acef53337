"""How every process connects to NATS: the options that a long-running service needs.

The client's defaults give up after two minutes and notice a half-open link after minutes (measured);
here a connection is retried for ever, pinged every second, and its errors are counted.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client as NatsClient
from nats.errors import NoServersError, SlowConsumerError

from trimtab.contracts.errors import BusUnavailable
from trimtab.contracts.subjects import INBOX_PREFIX
from trimtab.telemetry.metrics import BUS_ERRORS, BUS_RECONNECTS

DEFAULT_URL = "nats://127.0.0.1:4222"

ReconnectHook = Callable[[], Awaitable[None]]


@dataclass
class Link:
    """What a process knows of its connection, kept up to date by the client's callbacks."""

    name: str
    """Service name, for the server's connection list and our metrics."""
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the client gave up for good; the process should end."""
    forbidden: str = ""
    """The last permissions violation; a worker that has one is not ready."""
    on_reconnect: list[ReconnectHook] = field(default_factory=list)
    """Awaited after every reconnect, for example to read state that was missed."""

    async def reconnected(self) -> None:
        """Count the reconnect, forget what the old connection was refused, run the hooks."""
        self.forbidden = ""
        BUS_RECONNECTS.labels(self.name).inc()
        for hook in self.on_reconnect:
            await hook()

    async def failed(self, error: Exception) -> None:
        """Count an asynchronous error; remember a permissions violation."""
        if isinstance(error, SlowConsumerError):
            kind = "slow_consumer"
        elif "permissions violation" in str(error).lower():
            kind = "permissions"
            self.forbidden = str(error)
        else:
            kind = "other"
        BUS_ERRORS.labels(self.name, kind).inc()

    async def gone(self) -> None:
        """Mark the connection as closed for good."""
        self.closed.set()


def options(link: Link, *, nkey_seed: Path | None = None) -> dict[str, Any]:
    """Return the connect options shared by services and clients.

    Credentials never travel in the URL: the client forgets them at failover (measured).
    """
    chosen: dict[str, Any] = {
        "name": link.name,
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": 0.2,
        "ping_interval": 1,
        "max_outstanding_pings": 3,
        "connect_timeout": 2,
        "drain_timeout": 30,
        "inbox_prefix": f"{INBOX_PREFIX}_{link.name}".encode(),
        "reconnected_cb": link.reconnected,
        "error_cb": link.failed,
        "closed_cb": link.gone,
    }
    if nkey_seed is not None:
        chosen["nkeys_seed"] = str(nkey_seed)
    return chosen


async def settle(connection: NatsClient) -> None:
    """Return once the server has seen every subscription made so far.

    Twice, because the client may write the first ping ahead of subscriptions that are still queued.
    """
    await connection.flush()
    await connection.flush()


async def connect(
    url: str, name: str, *, nkey_seed: Path | None = None, timeout_s: float = 3.0
) -> NatsClient:
    """Connect a client that is not a service: the CLI, a producer, the supervisor.

    Raises:
        BusUnavailable: no server answered within ``timeout_s``.
    """
    link = Link(name)
    try:
        async with asyncio.timeout(timeout_s):
            return await nats.connect(
                servers=[url], allow_reconnect=True, **options(link, nkey_seed=nkey_seed)
            )
    except (OSError, TimeoutError, NoServersError, nats.errors.Error) as error:
        raise BusUnavailable(
            f"NATS does not answer at {url}; start the deployment with `trimtab up`, or see `trimtab doctor`"
        ) from error
