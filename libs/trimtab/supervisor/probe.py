"""Asks the bus who is ready: JetStream itself, then every worker over the health subject."""

import nats.errors
import nats.js.errors
from nats.aio.client import Client as NatsClient

from trimtab.bus.caller import Caller
from trimtab.bus.connection import connect
from trimtab.bus.ending import close
from trimtab.contracts import subjects
from trimtab.contracts.errors import BusUnavailable
from trimtab.contracts.samples import HealthRequest, Readiness, Sample
from trimtab.supervisor import nats_server

WINDOW_S = 0.5
"""How long one round waits for the workers' answers."""

SERVING = frozenset({Readiness.READY, Readiness.DEGRADED})


class BusProbe:
    """One connection of the supervisor, made when the server first answers."""

    def __init__(self, url: str, expected: int = 0) -> None:
        """Make a probe; ``expected`` workers answer a round at once, 0 waits the whole window."""
        self._url = url
        self._expected = expected
        self._connection: NatsClient | None = None

    async def bus(self) -> dict[str, str]:
        """Return the server's name once it accepts connections and JetStream answers."""
        try:
            if self._connection is None:
                self._connection = await connect(self._url, "supervisor", timeout_s=1.0)
            await self._connection.jetstream(timeout=1).account_info()
        except (BusUnavailable, nats.errors.Error, nats.js.errors.Error):
            return {}
        return {nats_server.NAME: ""}

    async def workers(self) -> dict[str, str]:
        """Return the instances that would take requests, with the reason of the degraded ones."""
        return {s.instance: s.reason for s in await self.samples() if s.readiness in SERVING}

    async def samples(self) -> list[Sample]:
        """Return what every worker says of itself now; nothing while the bus is away."""
        if self._connection is None or not self._connection.is_connected:
            return []
        caller = Caller(self._connection)
        try:
            return await caller.gather(subjects.HEALTH, HealthRequest(), Sample, window_s=WINDOW_S)
        except nats.errors.Error:
            return []

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            await close(self._connection)
            self._connection = None
