"""Orders and observations for the drills of the control plane."""

import asyncio
import time
import uuid

from trimtab.client import Client
from trimtab.contracts.control import Command, Order, Outcome
from trimtab.contracts.samples import Sample


def order(command: Command) -> Order:
    """Return an order with a fresh operation id."""
    return Order(operation=uuid.uuid4().hex, command=command, actor="drill", reason="drill")


async def steer(client: Client, command: Command) -> Outcome:
    """Have the controller carry a command out."""
    return await client.order(order(command), timeout_s=20)


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
