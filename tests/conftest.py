"""A real nats-server on a free port, one per test that asks for it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from nats.aio.client import Client as NatsClient

from trimtab.bus.connection import connect
from trimtab.bus.ending import close
from trimtab.bus.local_server import LocalServer

pytest_plugins = ["tests.deployments"]

# A busy machine is no failure: no example of a property is judged by the time it took.
settings.register_profile("trimtab", deadline=None)
settings.load_profile("trimtab")


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[LocalServer]:
    """A fresh server with empty JetStream."""
    server = LocalServer(tmp_path / "nats")
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def connection(nats_server: LocalServer) -> AsyncIterator[NatsClient]:
    """A client of it."""
    client = await connect(nats_server.url, "test")
    yield client
    await close(client)
