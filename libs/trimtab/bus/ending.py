"""Ending what talks to NATS: tasks that really end, connections that close whatever state they are in."""

import asyncio
import contextlib
from typing import Any

import nats.errors
from nats.aio.client import Client as NatsClient

_AGAIN_AFTER_S = 1.0
_CLOSE_S = 5.0


async def end(*tasks: "asyncio.Task[Any] | None") -> None:
    """Cancel tasks and return once all have ended; their results and errors are dropped.

    Cancels again until they end: ``asyncio.wait_for``, through which the NATS client waits for every
    reply, drops a cancellation that comes together with the reply (CPython before 3.12), and a loop
    that lost its only cancellation runs for ever.
    """
    ending = {task for task in tasks if task is not None}
    pending = ending
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_AGAIN_AFTER_S)
    await asyncio.gather(*ending, return_exceptions=True)


async def close(connection: NatsClient) -> None:
    """Close a connection, also one that is reconnecting or whose server is gone; never raises.

    The client's own close may raise what its half-open socket raises, and cancels tasks whose
    cancellation can come back to its caller; as a task of its own it can do neither to ours.
    """
    closing = asyncio.ensure_future(connection.close())
    await asyncio.wait({closing}, timeout=_CLOSE_S)
    if not closing.done():
        await end(closing)
    with contextlib.suppress(nats.errors.Error, OSError, TimeoutError, asyncio.CancelledError):
        closing.result()
