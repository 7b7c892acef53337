"""Workers inside the test process: built like a service's app, run against the test's server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from trimtab.bus.local_server import LocalServer
from trimtab.contracts.samples import Readiness
from trimtab.worker.service import Worker
from trimtab.worker.settings import DeploymentSettings


def deployment(server: LocalServer, home: Path) -> DeploymentSettings:
    """Settings of a deployment on the test's server with state below ``home``."""
    return DeploymentSettings(nats_url=server.url, home=home)


@asynccontextmanager
async def running(worker: Worker, *, timeout_s: float = 60.0) -> AsyncIterator[Worker]:
    """Run a worker until the block ends, then drain and stop it; enters once it is ready."""
    task = asyncio.create_task(worker.run())
    try:
        async with asyncio.timeout(timeout_s):
            while worker.identity.readiness == Readiness.STARTING:
                if task.done():
                    task.result()
                await asyncio.sleep(0.01)
        yield worker
    finally:
        worker.request_stop()
        await asyncio.wait_for(task, timeout_s)
