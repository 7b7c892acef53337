"""Child processes of a benchmark: started with their output in a file, ended with it."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_GRACE_S = 20.0


class ChildFailed(RuntimeError):
    """A process of the benchmark ended too early; the message holds the end of its output."""


@contextlib.contextmanager
def child(
    log: Path,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    python: Path | None = None,
    stdin: int | None = None,
    stdout: int | None = None,
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run ``python ARGUMENTS`` (or another program in its place) from the root until the block ends.

    ``stdin`` and ``stdout`` may be ``subprocess.PIPE``; otherwise it inherits stdin and writes to ``log``.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            [python or sys.executable, *arguments],
            stdin=stdin,
            stdout=output if stdout is None else stdout,
            stderr=output,
            env=os.environ | dict(environment or {}),
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def assert_alive(process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Raise when a child has ended.

    Raises:
        ChildFailed: it has.
    """
    if process.poll() is not None:
        raise ChildFailed(f"exit status {process.returncode}\n{tail(log)}")


def tail(log: Path, lines: int = 15) -> str:
    """Return the end of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def checked(*command: str, environment: Mapping[str, str] | None = None) -> str:
    """Run a command to its end and return what it printed.

    Raises:
        ChildFailed: its exit status is not 0.
    """
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | dict(environment or {}),
    )
    if done.returncode:
        raise ChildFailed(_ended(command, done.returncode, done.stdout + done.stderr))
    return done.stdout


def _ended(command: Sequence[str], status: int, output: str) -> str:
    return f"{' '.join(command[:4])} ... ended with {status}\n" + "\n".join(
        output.splitlines()[-15:]
    )
