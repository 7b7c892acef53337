"""One supervisor per home: a file lock that the system releases however its holder ends."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class AlreadyRunning(Exception):
    """Another supervisor holds the home."""


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock for the length of a ``with`` block.

    Raises:
        AlreadyRunning: another process holds it.
    """
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(str(path)) from None
        yield
