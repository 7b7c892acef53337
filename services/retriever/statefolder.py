"""One folder per worker: two workers never share passages or index files, and a restart finds its own."""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

_LOCK = "lock"
_MOST_WORKERS = 256


class StateInUse(Exception):
    """Another process holds the folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"{folder.name} is in use by another retriever; give this one another instance name"
        )
        self.folder = folder


@dataclass(frozen=True)
class StateFolder:
    """A folder this process holds until it ends."""

    name: str
    """Instance name: the folder's."""
    path: Path
    """Where passages and index files live."""
    descriptor: int
    """Open lock file; the kernel releases it with the process, however that ends."""

    def release(self) -> None:
        """Let another process take the folder."""
        os.close(self.descriptor)


def claim(home: Path, service: str, instance: str = "") -> StateFolder:
    """Hold the folder of ``instance``, or the first free one of ``<service>-0``, ``<service>-1``, ...

    Raises:
        StateInUse: another process holds it.
    """
    if instance:
        return _hold(home / service / instance)
    for number in range(_MOST_WORKERS):
        try:
            return _hold(home / service / f"{service}-{number}")
        except StateInUse:
            continue
    raise StateInUse(home / service / f"{service}-{_MOST_WORKERS - 1}")


def _hold(path: Path) -> StateFolder:
    path.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StateInUse(path) from None
    return StateFolder(path.name, path, descriptor)
