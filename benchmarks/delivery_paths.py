"""The peers of ``delivery`` as things to measure: their servers, their subscribers, what is missing here."""

import asyncio
import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks import environments
from benchmarks.processes import ChildFailed, child, tail
from trimtab.supervisor import ports

CLIENTS = ("redis[hiredis]==8.1.0", "aetcd==1.0.0", "msgspec==0.22.0", "uvloop==0.23.0")
"""Of the peers, as their users would have them: a C parser, gRPC, the faster loop."""

PROGRAMS = {"redis": "redis-server", "etcd": "etcd"}
"""What a peer needs on the PATH; Debian's packages redis-server and etcd-server bring it."""


@dataclass(frozen=True, slots=True)
class Peer:
    """N subscribers of one path and their operator, in processes of their own."""

    process: "subprocess.Popen[bytes]"
    log: Path

    async def ready(self) -> None:
        """Wait until everybody listens."""
        await asyncio.to_thread(self._answer)

    async def measure(self, commands: int) -> list[tuple[float, float]]:
        """Return, per command, the milliseconds until the last one applied, and until the write ended."""
        return await asyncio.to_thread(self._ask, commands)

    def _ask(self, commands: int) -> list[tuple[float, float]]:
        assert self.process.stdin is not None
        self.process.stdin.write(b"%d\n" % commands)
        self.process.stdin.flush()
        return msgspec.json.decode(self._answer(), type=list[tuple[float, float]])

    def _answer(self) -> bytes:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise ChildFailed(f"a path's operator ended\n{tail(self.log)}")
        return line


def missing() -> list[str]:
    """Return one sentence per peer whose server is not on the PATH."""
    return [
        f"{kind} is left out: there is no {program} here."
        for kind, program in PROGRAMS.items()
        if shutil.which(program) is None
    ]


@contextlib.contextmanager
def peers(
    folder: Path, nats_url: str, count: int, body: bytes, *, quick: bool
) -> Iterator[dict[str, Peer]]:
    """Run every path that can run here, ``count`` subscribers each, until the block ends.

    ``quick``: leave out those whose server and client this project does not bring, and the one that polls.
    """
    body_file = folder / "body"
    body_file.write_bytes(body)
    with contextlib.ExitStack() as stack:
        addresses = {"core": nats_url, "core_acknowledged": nats_url, "kv": nats_url}
        if not quick:
            addresses |= {"poll": nats_url} | _installed(stack, folder)
        python = None
        if addresses.keys() & PROGRAMS.keys():
            python = environments.ensure("delivery", *CLIENTS).absolute()
        found = {}
        for kind, address in addresses.items():
            log, slots = folder / f"{kind}.log", folder / f"{kind}.slots"
            process = child(
                log,
                "-m",
                "benchmarks.delivery_peers",
                kind,
                address,
                str(slots),
                str(count),
                str(body_file),
                python=python if kind in PROGRAMS else None,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            found[kind] = Peer(stack.enter_context(process), log)
        yield found


def _installed(stack: contextlib.ExitStack, folder: Path) -> dict[str, str]:
    """Start the peers' servers that are on the PATH; return where they listen."""
    started = {"redis": _redis, "etcd": _etcd}
    return {
        kind: stack.enter_context(start(folder))
        for kind, start in started.items()
        if shutil.which(PROGRAMS[kind])
    }


@contextlib.contextmanager
def _redis(folder: Path) -> Iterator[str]:
    port, place = ports.free_port(), folder / "redis"
    place.mkdir()
    settings = ("--port", str(port), "--bind", ports.HOST, "--save", "", "--dir", str(place))
    with child(folder / "redis-server.log", *settings, python=_program("redis")):
        yield f"redis://{ports.HOST}:{port}"


@contextlib.contextmanager
def _etcd(folder: Path) -> Iterator[str]:
    port, peer = ports.free_port(), ports.free_port()
    ours, theirs = (f"http://{ports.HOST}:{number}" for number in (port, peer))
    settings = {
        "data-dir": str(folder / "etcd"),
        "listen-client-urls": ours,
        "advertise-client-urls": ours,
        "listen-peer-urls": theirs,
        "initial-advertise-peer-urls": theirs,
        "initial-cluster": f"default={theirs}",
        "log-level": "error",
    }
    words = [word for name, value in settings.items() for word in (f"--{name}", value)]
    with child(folder / "etcd-server.log", *words, python=_program("etcd")):
        yield f"{ports.HOST}:{port}"


def _program(kind: str) -> Path:
    found = shutil.which(PROGRAMS[kind])
    assert found is not None  # asked before
    return Path(found)
