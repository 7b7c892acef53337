"""What a supervisor tells whoever watches it start and run; also the lines of a detached start's pipe."""

from collections.abc import Callable
from typing import Literal

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event"):
    """Base of all events."""


class Starting(Event, frozen=True, kw_only=True, tag="starting"):
    """A process was started."""

    name: str
    pid: int


class Ready(Event, frozen=True, kw_only=True, tag="ready"):
    """A process answers and would take requests."""

    name: str
    after_s: float
    """Seconds since the start of the deployment."""
    note: str = ""
    """Why it is degraded; empty when it is not."""


class Exited(Event, frozen=True, kw_only=True, tag="exited"):
    """A process ended although nobody asked for it."""

    name: str
    code: int
    """Exit status; negative is the signal's number."""
    restart_in_s: float


class Ingesting(Event, frozen=True, kw_only=True, tag="ingesting"):
    """The shipped corpus is on its way."""

    collection: str
    done: int
    total: int


class Up(Event, frozen=True, kw_only=True, tag="up"):
    """Everything is ready and the corpus is in."""

    nats_url: str
    http_url: str
    took_s: float
    corpus: Literal["ingested", "present", "none"]


class Stopping(Event, frozen=True, kw_only=True, tag="stopping"):
    """A process was asked to finish its work and end."""

    name: str


class Stopped(Event, frozen=True, kw_only=True, tag="stopped"):
    """A process ended after it was asked to."""

    name: str
    killed: bool
    """True when it did not end within its grace and was killed."""


class Failed(Event, frozen=True, kw_only=True, tag="failed"):
    """The deployment cannot start."""

    problem: str
    remedy: str


AnyEvent = Starting | Ready | Exited | Ingesting | Up | Stopping | Stopped | Failed

Sink = Callable[[AnyEvent], None]
"""Who is told; must not block and must not raise."""


def to_line(event: AnyEvent) -> bytes:
    """Return the event as one line of JSON."""
    return msgspec.json.encode(event) + b"\n"


def from_line(line: bytes) -> AnyEvent:
    """Parse one line.

    Raises:
        msgspec.DecodeError: it is none of ours.
    """
    event: AnyEvent = msgspec.json.decode(line, type=AnyEvent)
    return event
