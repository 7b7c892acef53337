"""Real processes for tests: a nats-server and services run as users run them, watched and always cleaned up.

Nothing here is a stand-in: a member is ``python -m services.<name>`` with the environment of a deployment.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from trimtab.bus.local_server import LocalServer
from trimtab.client import Client
from trimtab.contracts.samples import Readiness, Sample

ROOT = Path(__file__).parents[1]
SERVICES = ("controller", "encoder", "retriever", "reranker", "mapper", "gateway")
READY_S = 120.0
"""Longest wait for a start; the machine may be building a model and running other things."""

_STOP_S = 30.0
_TAIL_LINES = 12
_SERVING = frozenset({Readiness.READY, Readiness.DEGRADED})
_PREFIXES = ("TRIMTAB_", "OTEL_", *(f"{service.upper()}_" for service in SERVICES))


class FleetFailed(AssertionError):
    """A process ended or did not become ready; holds the last lines of its log."""


@dataclass
class Member:
    """One process of a fleet."""

    service: str
    """Queue group it belongs to."""
    instance: str
    """Name by which its samples and replies are known."""
    log: Path
    """Everything it wrote to stdout and stderr."""
    process: "subprocess.Popen[bytes]"

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended; a stopped (frozen) process is running."""
        return self.process.poll() is None

    def terminate(self) -> None:
        """Ask it to stop (SIGTERM)."""
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it as a crash or the kernel would (SIGKILL) and wait until it is gone."""
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """Stop its clock (SIGSTOP): sockets stay open, nothing answers."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on (SIGCONT)."""
        self.process.send_signal(signal.SIGCONT)

    async def ended(self, timeout_s: float = _STOP_S) -> int:
        """Wait until it ended and return its exit code, negative for a signal."""
        return await asyncio.to_thread(self.process.wait, timeout_s)

    def tail(self) -> str:
        """Return the last lines of its log."""
        lines = self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        return "\n".join(lines)


@dataclass
class Fleet:
    """A nats-server and the processes that were started beside it, all below one folder."""

    folder: Path
    """Holds ``nats/``, ``home/`` and ``logs/``."""
    deployment: dict[str, str] = field(default_factory=dict)
    """Settings that every member shares, by field of ``DeploymentSettings``; set before they start."""
    environment: dict[str, str] = field(default_factory=dict)
    """Other variables that every member shares, for example where traces go; set before they start."""
    server: LocalServer = field(init=False)
    members: list[Member] = field(default_factory=list)
    """In the order of their start; ended ones stay in the list."""

    def __post_init__(self) -> None:
        self.server = LocalServer(self.folder / "nats")

    @property
    def url(self) -> str:
        """Where NATS listens."""
        return self.server.url

    @property
    def home(self) -> Path:
        """``TRIMTAB_HOME`` of every member."""
        return self.folder / "home"

    def adopt(self, template: Path) -> None:
        """Begin with the streams, components and state of another fleet's folder; before the start."""
        for part in ("nats/jetstream", "home"):
            if (template / part).is_dir():
                shutil.copytree(template / part, self.folder / part, dirs_exist_ok=True)

    def spawn(
        self, service: str, *, instance: str = "", module: str = "", **settings: str
    ) -> Member:
        """Start one process; returns before it is ready.

        Args:
            service: folder below ``services/`` and prefix of ``settings``.
            instance: its name; ``<service>-<number>`` when empty.
            module: another module to run as this service.
            settings: fields of the service's settings class, for example ``max_in_flight="8"``.
        """
        number = 1 + sum(member.service == service for member in self.members)
        instance = instance or f"{service}-{number}"
        log = self.folder / "logs" / f"{instance}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", module or f"services.{service}"],
                cwd=ROOT,
                env=self._environment(service, instance, settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        member = Member(service, instance, log, process)
        self.members.append(member)
        return member

    async def start(self, *services: str, **gateway: str) -> None:
        """Start one process of each service, the gateway with ``gateway`` settings; wait until ready."""
        for service in services:
            self.spawn(service, **(gateway if service == "gateway" else {}))
        await self.ready()

    async def ready(self, timeout_s: float = READY_S) -> list[Sample]:
        """Wait until every running member says it is ready or degraded; return their samples.

        Raises:
            FleetFailed: one ended, or was not ready in time; with its last words.
        """
        awaited = [member for member in self.members if member.running]
        async with Client.connect(self.url, name="fleet") as client:
            try:
                async with asyncio.timeout(timeout_s):
                    return await self._until_ready(client, awaited)
            except TimeoutError:
                raise FleetFailed(f"not ready in {timeout_s:.0f} s\n{self.tails()}") from None

    async def _until_ready(self, client: Client, awaited: Collection[Member]) -> list[Sample]:
        names = {member.instance for member in awaited}
        while True:
            for member in awaited:
                if not member.running:
                    code = member.process.returncode
                    raise FleetFailed(f"{member.instance} ended with {code}\n{member.tail()}")
            samples = await client.health(window_s=0.2)
            if names <= {sample.instance for sample in samples if sample.readiness in _SERVING}:
                return samples

    async def api(self) -> str:
        """Return the address of the gateway's HTTP facade."""
        async with Client.connect(self.url, name="fleet") as client:
            samples = await client.health()
        [address] = [str(s.facts["api_url"]) for s in samples if s.service == "gateway"]
        return address

    def of(self, service: str) -> list[Member]:
        """Return the running members of a service."""
        return [m for m in self.members if m.service == service and m.running]

    async def stop(self, *services: str) -> list[int]:
        """Stop all members of the services in order and return their exit codes."""
        leaving = [member for service in services for member in self.of(service)]
        for member in leaving:
            member.terminate()
        return [await member.ended() for member in leaving]

    def close(self) -> None:
        """End everything: in order where that works within 30 s, else by force. Never raises."""
        leaving = [member for member in self.members if member.running]
        for member in leaving:
            member.thaw()
            member.terminate()
        _await_all(leaving)
        self.server.stop()

    def tails(self, of: Iterable[Member] | None = None) -> str:
        """Return the last log lines of each member, for a failing test's report."""
        parts = [f"--- {m.instance} (pid {m.pid})\n{m.tail()}" for m in of or self.members]
        return "\n".join(parts)

    def _environment(self, service: str, instance: str, settings: dict[str, str]) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(_PREFIXES)}
        prefix = service.upper()
        chosen = {"instance": instance, **settings}
        if service == "gateway":
            chosen.setdefault("api_port", "0")
        return {
            **inherited,
            **self.environment,
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "libs")]),
            "TRIMTAB_NATS_URL": self.url,
            "TRIMTAB_HOME": str(self.home),
            # A test run that is itself killed leaves nobody behind.
            "TRIMTAB_PARENT_PID": str(os.getpid()),
            **{f"TRIMTAB_{name.upper()}": value for name, value in self.deployment.items()},
            **{f"{prefix}_{name.upper()}": value for name, value in chosen.items()},
        }


def _await_all(members: Iterable[Member]) -> None:
    for member in members:
        try:
            member.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            member.kill()
