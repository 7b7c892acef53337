"""Ports of this machine: a free one, whether one is taken, and by whom."""

import socket
from contextlib import suppress
from pathlib import Path

HOST = "127.0.0.1"

_LISTENING = "0A"
"""State of a listening socket in /proc/net/tcp."""


def is_free(port: int) -> bool:
    """Return whether a server may listen on the port of the loopback interface."""
    with socket.socket() as probe:
        # A server that just stopped leaves its port in TIME_WAIT, which does not keep us from it.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port


def holder(port: int) -> str | None:
    """Return ``name (pid N)`` of the process that listens on a port; None where that cannot be seen."""
    inodes = _listening_inodes(port)
    if not inodes:
        return None
    for folder in Path("/proc").glob("[0-9]*"):
        if inodes & _socket_inodes(folder):
            return f"{_name(folder)} (pid {folder.name})"
    return None


def _listening_inodes(port: int) -> set[str]:
    found = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        if not table.exists():
            continue
        for line in table.read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(fields[9])
    return found


def _socket_inodes(folder: Path) -> set[str]:
    try:
        descriptors = list((folder / "fd").iterdir())
    except OSError:
        # Another user's process, or one that just ended.
        return set()
    found = set()
    for descriptor in descriptors:
        with suppress(OSError):
            found.add(str(descriptor.readlink()))
    return {
        link.removeprefix("socket:[").rstrip("]") for link in found if link.startswith("socket:[")
    }


def _name(folder: Path) -> str:
    try:
        return (folder / "comm").read_text().strip()
    except OSError:
        return "a process"
