"""A process that cannot be mistaken for a later one with the same number: pid and start time."""

import os
import signal
import subprocess
from pathlib import Path

import msgspec

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_START_FIELD = 19
"""Index of ``starttime`` behind the command's closing parenthesis in /proc/PID/stat (proc(5))."""


class ProcessId(msgspec.Struct, frozen=True, kw_only=True):
    """One process, for as long as it lives."""

    pid: int
    """Number the system gave it; reused after its end."""
    started: str
    """When it started, in the system's own words; with the pid it is unique."""

    @classmethod
    def of(cls, pid: int) -> "ProcessId | None":
        """Return the process that has this pid now; None when there is none."""
        started = _started(pid)
        return None if started is None else cls(pid=pid, started=started)

    @classmethod
    def mine(cls) -> "ProcessId":
        """Return this process."""
        return cls(pid=os.getpid(), started=_started(os.getpid()) or "")

    def alive(self) -> bool:
        """Return whether this very process still runs; a zombie does not."""
        return _started(self.pid) == self.started

    def send(self, number: signal.Signals) -> bool:
        """Send a signal if the process still lives; return whether it did."""
        if not self.alive():
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True


def _started(pid: int) -> str | None:
    if _BOOT_ID.exists():
        return _started_by_proc(pid)
    return _started_by_ps(pid)


def _started_by_proc(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    if fields[0] in ("Z", "X"):
        return None
    return f"{_BOOT_ID.read_text().strip()[:8]}:{fields[_START_FIELD]}"


def _started_by_ps(pid: int) -> str | None:
    done = subprocess.run(  # noqa: S603 - a number of ours, no shell
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)],  # noqa: S607 - wherever the system keeps it
        capture_output=True,
        text=True,
        check=False,
    )
    state, _, started = done.stdout.strip().partition(" ")
    return started.strip() if started and not state.startswith("Z") else None
