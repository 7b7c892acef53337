"""``up.json``: who runs and where they listen, written by the supervisor and read by every command."""

from pathlib import Path

import msgspec

from trimtab.supervisor.processid import ProcessId


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """One process of the deployment."""

    name: str
    """For example ``encoder-1``; also its instance name on the bus."""
    process: ProcessId
    """Which one."""
    log: str
    """Path of its log."""
    restarts: int = 0
    """How often it was started again."""


class UpState(msgspec.Struct, frozen=True, kw_only=True):
    """A running deployment."""

    supervisor: ProcessId
    """The process that keeps the others running."""
    home: str
    """Folder of the deployment."""
    nats_url: str
    """Where producers and commands connect."""
    http_url: str
    """Where the gateway listens."""
    since: float
    """Unix seconds of the start."""
    ready: bool
    """Whether every process was ready once and the corpus is in."""
    processes: list[Running]
    """Started processes, in the order of their start."""


def write(path: Path, state: UpState) -> None:
    """Replace the file in one step: a reader sees the old state or the new one."""
    partial = path.with_suffix(".part")
    encoded = msgspec.json.format(msgspec.json.encode(state), indent=2)
    partial.write_bytes(encoded + b"\n")
    partial.replace(path)


def read(path: Path) -> UpState | None:
    """Return what the file says, running or not; None when there is none or it does not parse."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=UpState)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return None


def running(path: Path) -> UpState | None:
    """Return the state of a deployment whose supervisor lives; a stale file counts as none."""
    state = read(path)
    return state if state is not None and state.supervisor.alive() else None
