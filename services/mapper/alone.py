"""Vectors without a deployment: a NATS server and one encoder of this installation, for one command alone.

The encoder is a process of its own, as everywhere: the mapper asks it over the bus and imports none of it.
"""

import argparse
import asyncio
import contextlib
import importlib.util
import os
import sys
import tempfile
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from trimtab.bus.connection import connect
from trimtab.bus.ending import close
from trimtab.bus.local_server import LocalServer
from trimtab.contracts.errors import BusyError, DeadlineExceeded, NoWorkers
from trimtab.corpus.vectors import (
    Advance,
    Space,
    Vectors,
    VectorSource,
    VectorsUnusable,
    ask_encoder,
)
from trimtab.supervisor.home import Home

_ENCODER = "services.encoder"
_READY_S = 600.0
"""The first start builds the model."""
_LOOK_S = 0.25
_STOP_S = 20.0


def add_alone(parser: argparse.ArgumentParser) -> None:
    """Let a command be told that there is no deployment to ask."""
    parser.add_argument(
        "--alone", action="store_true", help="start an encoder for this command instead of --nats"
    )


async def vectors(
    options: argparse.Namespace,
    texts: Sequence[str],
    report: Callable[[str], None],
    advance: Advance = lambda done, of: None,
) -> Vectors:
    """Return (texts, dimension) unit vectors from a file, a deployment, or an encoder of our own.

    Raises:
        VectorsUnusable: the file cannot be used, or no encoder is installed or starts here.
        TrimtabError: what the encoder or the bus answered.
    """
    source = VectorSource.from_options(options)
    if source.file is not None or not options.alone:
        return await source.vectors(texts, advance)
    report("no deployment runs here: starting an encoder for this command alone")
    async with _encoder(source.space) as url:
        return await replace(source, nats_url=url).vectors(texts, advance)


@asynccontextmanager
async def _encoder(space: Space) -> AsyncIterator[str]:
    """Run a server and an encoder until the block ends; gives the server's address."""
    if importlib.util.find_spec("services") is None or importlib.util.find_spec(_ENCODER) is None:
        raise VectorsUnusable("no encoder is installed here; pip install 'trimtab[encoder]'")
    with tempfile.TemporaryDirectory() as folder:
        server = LocalServer(Path(folder))
        await asyncio.to_thread(server.start)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", _ENCODER),
            env=_environment(server.url, space),
            stdout=DEVNULL,
            stderr=DEVNULL,
        )
        try:
            await _await_ready(process, server.url, space)
            yield server.url
        finally:
            await _stop(process)
            await asyncio.to_thread(server.stop)


def _environment(url: str, space: Space) -> dict[str, str]:
    ours = ("TRIMTAB_", "ENCODER_", "OTEL_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | {
        "TRIMTAB_NATS_URL": url,
        "TRIMTAB_HOME": str(Home.find().root),
        "TRIMTAB_PARENT_PID": str(os.getpid()),
        "ENCODER_COMPONENT": space.encoder,
    }


async def _await_ready(process: Process, url: str, space: Space) -> None:
    connection = await connect(url, "training")
    try:
        async with asyncio.timeout(_READY_S):
            while process.returncode is None:
                with contextlib.suppress(NoWorkers, BusyError, DeadlineExceeded):
                    await ask_encoder(connection, space, ["ready"], lambda done, of: None)
                    return
                await asyncio.sleep(_LOOK_S)
    except TimeoutError:
        raise VectorsUnusable(f"no encoder was ready within {_READY_S:.0f} s") from None
    finally:
        await close(connection)
    raise VectorsUnusable(
        "the encoder ended at its start; see why with: python -m services.encoder"
    )


async def _stop(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(_STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
