"""A nats-server that runs ``deploy/nats/secure.conf`` with freshly made nkeys, one per role."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import nats
from nats.aio.client import Client as NatsClient

from scripts import make_nkeys
from tests.architecture.tree import ROOT
from trimtab.bus.connection import Link, options
from trimtab.bus.ending import close
from trimtab.bus.local_server import binary

INBOXES = {"producer": "client", "operator": "cli"}
"""Role -> connection name where they differ: what ``trimtab.Client`` and the command line call themselves."""


@dataclass
class GuardedServer:
    """Where it listens and who has which seed."""

    url: str
    """Of the running server."""
    seeds: dict[str, Path]
    """Role -> file that holds its seed."""
    log: Path
    """What the server said."""

    def violations(self) -> list[str]:
        """Return every refusal that the server logged."""
        return [line for line in self.log.read_text().splitlines() if "Violation" in line]

    @asynccontextmanager
    async def connected(self, role: str) -> AsyncIterator["Guarded"]:
        """Connect as a role; the server's refusals are kept."""
        guarded = Guarded(INBOXES.get(role, role))
        chosen = options(guarded.link, nkey_seed=self.seeds[role])
        chosen["error_cb"] = guarded.failed
        guarded.connection = await nats.connect(self.url, **chosen)
        try:
            yield guarded
        finally:
            await close(guarded.connection)


@dataclass
class Guarded:
    """One role's connection and what it was refused."""

    name: str
    """Connection name."""
    refused: list[str] = field(default_factory=list)
    """The server's words, in lower case."""
    connection: NatsClient = field(init=False)

    def __post_init__(self) -> None:
        self.link = Link(self.name)

    async def failed(self, error: Exception) -> None:
        """Keep what the server refused."""
        self.refused.append(str(error).lower())

    async def publish(self, subject: str, body: bytes = b"x", reply: str = "") -> list[str]:
        """Publish and return what the server refused."""
        await self.connection.publish(subject, body, reply=reply)
        return await self.heard()

    async def subscribe(self, subject: str, queue: str = "") -> list[str]:
        """Subscribe and return what the server refused."""
        await self.connection.subscribe(subject, queue)
        return await self.heard()

    async def heard(self) -> list[str]:
        """Wait until the server has seen everything sent; return what it refused.

        Twice: the client writes the first PING ahead of commands that it still holds.
        """
        await self.connection.flush()
        await self.connection.flush()
        return self.refused


def configuration(folder: Path) -> Path:
    """Copy ``deploy/nats`` with JetStream's files below ``folder``; the only change."""
    copied = folder / "nats"
    shutil.copytree(ROOT / "deploy" / "nats", copied)
    limits = copied / "limits.conf"
    limits.write_text(limits.read_text().replace('"/data"', f'"{folder / "data"}"'))
    return copied / "secure.conf"


@contextmanager
def guarded_server(folder: Path) -> Iterator[GuardedServer]:
    """Start the server for the length of the block."""
    environment = {**os.environ, **make_nkeys.make(folder)}
    seeds = {role: folder / f"{role}.nk" for role in make_nkeys.roles()}
    listening = ("-a", "127.0.0.1", "-p", "-1", "-m", "-1", "--ports_file_dir", str(folder))
    command = [str(binary()), "-c", str(configuration(folder)), *listening]
    log_path = folder / "server.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        yield GuardedServer(_url(process, folder), seeds, log_path)
    finally:
        process.terminate()
        process.wait(10)


def _url(process: "subprocess.Popen[bytes]", folder: Path, timeout_s: float = 10.0) -> str:
    give_up_at = time.monotonic() + timeout_s
    while time.monotonic() < give_up_at and process.poll() is None:
        for path in folder.glob("*.ports"):
            try:
                return str(json.loads(path.read_text())["nats"][0])
            except (json.JSONDecodeError, KeyError):
                continue  # still being written
        time.sleep(0.01)
    raise AssertionError((folder / "server.log").read_text())
