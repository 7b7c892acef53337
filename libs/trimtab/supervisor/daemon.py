"""A supervisor that goes on when the command that started it returned: spawned here, followed over a pipe."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from trimtab.supervisor import deployment, lock
from trimtab.supervisor.events import AnyEvent, Failed, Up, from_line, to_line
from trimtab.supervisor.home import Home
from trimtab.supervisor.options import UpOptions
from trimtab.supervisor.supervisor import StartFailed

LOG_NAME = "supervisor.log"


@dataclass
class Pipe:
    """The writing end: open until the start succeeded or failed, then nobody reads any more."""

    descriptor: int

    def emit(self, event: AnyEvent) -> None:
        """Pass an event on, and keep it in the log."""
        line = to_line(event)
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
        if self.descriptor >= 0:
            # The command may have gone: a detached supervisor does not mind.
            with contextlib.suppress(OSError):
                os.write(self.descriptor, line)
            if isinstance(event, Up | Failed):
                os.close(self.descriptor)
                self.descriptor = -1


def serve(options: UpOptions, pipe: Pipe) -> int:
    """Run a deployment in this process and return the exit status."""
    try:
        asyncio.run(deployment.run(options, pipe.emit))
    except StartFailed as error:
        pipe.emit(Failed(problem=error.problem, remedy=error.remedy))
        return 1
    except lock.AlreadyRunning:
        pipe.emit(
            Failed(problem="another supervisor holds this home", remedy="see `trimtab status`")
        )
        return 1
    return 0


@dataclass
class Detached:
    """A spawned supervisor, while its start is being followed."""

    process: "subprocess.Popen[bytes]"
    reading: int
    """Reading end of the pipe."""
    log: Path

    def events(self) -> Iterator[AnyEvent]:
        """Yield events up to and including the one that ends the start; a dead supervisor fails it."""
        with os.fdopen(self.reading, "rb") as lines:
            for line in lines:
                event = from_line(line)
                yield event
                if isinstance(event, Up | Failed):
                    return
        status = self.process.wait()
        yield Failed(
            problem=f"the supervisor ended with status {status} before anything was ready",
            remedy=f"its log is {self.log}",
        )

    def stop(self) -> None:
        """Ask it to stop and wait: the start was interrupted."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def spawn(options: UpOptions) -> Detached:
    """Start a supervisor in a session of its own, so that closing the terminal does not end it."""
    home = Home(Path(options.home))
    home.prepare()
    path = home.logs / LOG_NAME
    reading, writing = os.pipe()
    with path.open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - ourselves, with options that we encoded
            [
                sys.executable,
                "-m",
                "trimtab.supervisor",
                msgspec.json.encode(options).decode(),
                str(writing),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(writing,),
            start_new_session=True,
        )
    os.close(writing)
    return Detached(process, reading, path)
