"""One supervised process: started, started again when it crashes, stopped in an orderly way."""

import asyncio
import contextlib
import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from trimtab.supervisor import lifeline
from trimtab.supervisor.backoff import Backoff
from trimtab.supervisor.events import Exited, Sink, Starting, Stopped, Stopping
from trimtab.supervisor.processid import ProcessId
from trimtab.supervisor.spec import ProcessSpec

MAX_LOG_BYTES = 16 * 2**20
"""A larger log is set aside as ``NAME.log.1`` before the process starts."""


@dataclass
class ManagedProcess:
    """Keeps one :class:`ProcessSpec` running until :meth:`stop`."""

    spec: ProcessSpec
    logs: Path
    """Folder of the log."""
    emit: Sink
    """Told of every start and end."""
    restarts: int = 0
    """Starts after the first."""
    ready: bool = False
    """Set by whoever probes it; a crash clears it."""
    crashes_before_ready: int = 0
    """How often it ended without ever having been ready."""
    last_exit: int = 0
    """Newest exit status."""
    identity: ProcessId | None = None
    """Which process it is now."""
    _backoff: Backoff = field(default_factory=Backoff)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _process: asyncio.subprocess.Process | None = None
    _keeper: "asyncio.Task[None] | None" = None

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.logs / f"{self.spec.name}.log"

    async def start(self) -> None:
        """Start it and keep it running from now on.

        Raises:
            OSError: the program cannot be started at all.
        """
        await self._spawn()
        self._keeper = asyncio.create_task(self._keep_running())

    async def stop(self) -> None:
        """Ask it to end, wait for its grace, then kill it and what it started."""
        self._stopping.set()
        if self._keeper is None:
            return
        self.emit(Stopping(name=self.spec.name))
        self._terminate()
        done, _ = await asyncio.wait([self._keeper], timeout=self.spec.grace_s)
        self.kill()
        await self._keeper
        self.emit(Stopped(name=self.spec.name, killed=not done))

    def kill(self) -> None:
        """Kill it and every process it started, now."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _terminate(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()

    async def _spawn(self) -> None:
        self._rotate_log()
        with self.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *lifeline.command(list(self.spec.arguments)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | self.spec.environment,
                # Its own session: Ctrl-C reaches the supervisor alone, which then stops in order.
                start_new_session=True,
            )
        self._process = process
        self.identity = ProcessId.of(process.pid)
        self.emit(Starting(name=self.spec.name, pid=process.pid))
        if self._stopping.is_set():
            self._terminate()

    async def _keep_running(self) -> None:
        while True:
            started = time.monotonic()
            if self._process is not None:
                self.last_exit = await self._process.wait()
            if not self._stopping.is_set():
                await self._crashed(time.monotonic() - started)
            if self._stopping.is_set():
                return
            self.restarts += 1
            await self._spawn_again()

    async def _spawn_again(self) -> None:
        self._process = None
        try:
            await self._spawn()
        except OSError:
            # Out of processes or memory for now; the next round tries again, later.
            self.last_exit = 127

    async def _crashed(self, uptime_s: float) -> None:
        self.kill()  # what it started must not linger beside its successor
        self.crashes_before_ready += not self.ready
        self.ready = False
        self._backoff = self._backoff.after(uptime_s)
        wait_s = self._backoff.wait_s
        self.emit(Exited(name=self.spec.name, code=self.last_exit, restart_in_s=wait_s))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), wait_s)

    def _rotate_log(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            if self.log.stat().st_size > MAX_LOG_BYTES:
                self.log.replace(self.log.with_name(f"{self.log.name}.1"))

    def tail(self, lines: int = 8) -> str:
        """Return the end of its log; workers never log texts."""
        with contextlib.suppress(FileNotFoundError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""
