"""A nats-server that is killed and started again under a fleet, and a plain KV watch beside the fleet."""

import asyncio
import contextlib
import time
from dataclasses import dataclass

from benchmarks.delivery_stage import READY_S, Operator, Stage
from trimtab.bus.connection import connect
from trimtab.bus.ending import close
from trimtab.contracts import subjects
from trimtab.contracts.errors import TrimtabError
from trimtab.control.execute import execute
from trimtab.control.store import ControlStore

DOWN_S = 1.0
"""How long the server stays away."""


@dataclass(frozen=True, slots=True)
class Restart:
    """One restart of the server; ``written`` and ``obeyed`` in milliseconds since its port listened."""

    written: float
    """Until the command was written; it was given as soon as the port listened."""
    obeyed: float
    """Until the last worker obeyed it."""
    listening: int
    """When its port listened, monotonic nanoseconds."""
    revision: int
    """Of the command."""


async def restart(stage: Stage) -> Restart:
    """Kill the server, start it, write at once."""
    stage.server.kill()
    await asyncio.sleep(DOWN_S)
    starting = asyncio.create_task(asyncio.to_thread(stage.server.start))
    listening = await _listening(stage.server.port)
    revision = await _write(stage.server.url, stage.operator)
    written = time.monotonic_ns()
    obeyed = await stage.operator.slots.until(revision, stage.operator.workers)
    await starting
    return Restart((written - listening) / 1e6, (obeyed - listening) / 1e6, listening, revision)


async def _listening(port: int) -> int:
    """Knock until somebody opens; return when."""
    async with asyncio.timeout(READY_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.001)
            else:
                at = time.monotonic_ns()
                writer.close()
                return at


async def _write(url: str, operator: Operator) -> int:
    """Write the next command over a connection of its own, as the CLI would, until the server takes it."""
    order = operator.order()
    async with asyncio.timeout(READY_S):
        while True:
            with contextlib.suppress(TrimtabError):
                connection = await connect(url, "operator")
                try:
                    store = await ControlStore.open(connection)
                    outcome, _ = await execute(store, order, now=time.time())
                    await connection.flush()
                    return outcome.revision
                finally:
                    await close(connection)
            await asyncio.sleep(0.005)


class Watch:
    """A plain KV watch of the same documents, as a peer of the workers' feed."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self._seen: dict[int, int] = {}

    async def run(self, url: str) -> None:
        """Note when each revision is seen, for ever."""
        connection = await connect(url, "watch")
        try:
            bucket = await connection.jetstream().key_value(subjects.CONTROL_BUCKET)
            watcher = await bucket.watch(subjects.KILL_KEY)
            self.began.set()
            async for entry in watcher:
                if entry is not None:
                    self._seen[entry.revision or 0] = time.monotonic_ns()
        finally:
            await close(connection)

    async def saw(self, revision: int) -> int:
        """Wait until a revision was seen; return when."""
        async with asyncio.timeout(READY_S):
            while revision not in self._seen:  # noqa: ASYNC110 - seen in another task of this loop
                await asyncio.sleep(0.01)
        return self._seen[revision]
