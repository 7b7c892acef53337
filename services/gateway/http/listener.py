"""Uvicorn inside a worker's loop: it listens, it stops in order, and leaves signals to the worker."""

import asyncio
import contextlib
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from trimtab.contracts.errors import BusUnavailable

_GRACE_S = 20
_HEAD_BYTES = 64 * 1024
"""The longest request line and headers: h11's own 16 KiB holds only for heads that come in pieces."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone: the worker drains the bus first."""
        yield


class Listener:
    """The HTTP facade's socket."""

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=_GRACE_S,
            h11_max_incomplete_event_size=_HEAD_BYTES,
        )
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Listen and return the port.

        Raises:
            BusUnavailable: the port is taken.
        """
        self._task = asyncio.create_task(self._serve())
        while not self._server.started:
            if self._task.done():
                config = self._server.config
                raise BusUnavailable(
                    f"cannot listen on {config.host}:{config.port}; is another gateway running? "
                    "choose another port with GATEWAY_API_PORT"
                )
            await asyncio.sleep(0.01)
        port: int = self._server.servers[0].sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        """Finish what is in flight and close."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task

    async def _serve(self) -> None:
        # uvicorn calls sys.exit when it cannot bind; that must not end the loop without a word
        with contextlib.suppress(SystemExit):
            await self._server.serve()
