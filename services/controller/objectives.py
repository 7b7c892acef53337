"""Service level objectives as reviewed YAML: which events are bad, and which share of them is allowed. Pure."""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from services.controller.policy import OBJECTIVES_FILE, Part, seconds
from trimtab.contracts.errors import InvalidCommand


class Objective(Part, frozen=True, kw_only=True):
    """One promise about one endpoint."""

    name: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]*\Z")]
    """What its budget is called."""
    source: str
    """Where the promise comes from."""
    service: str
    """Whose samples count."""
    endpoint: str
    """Which of its endpoints."""
    event: Annotated[str, Meta(pattern=r"^(error|latency > \d+(\.\d+)?(ms|s))\Z")]
    """What makes a request bad: ``error`` (ours, or too late) or ``latency > 8ms``."""
    allowed: Annotated[float, Meta(gt=0, lt=1)]
    """Share of requests that may be bad: 0.05 keeps the 95th percentile."""
    least: Annotated[int, Meta(ge=1)] = 50
    """Requests in a window below which it says nothing."""

    @property
    def counts(self) -> str:
        """Its name and what it counts: what was counted by another rule says nothing of this one."""
        return f"{self.name}: {self.service}/{self.endpoint} {self.event}"

    @property
    def within_s(self) -> float | None:
        """Seconds that a good request takes at most; None where errors count."""
        _, _, limit = self.event.partition(" > ")
        return seconds(limit) if limit else None


class _File(Part, frozen=True, kw_only=True):
    objectives: list[Objective]


def load_objectives(folder: Path) -> tuple[Objective, ...]:
    """Read ``objectives.yaml`` of a folder of policies; a folder without one promises nothing.

    Raises:
        InvalidCommand: unknown key, missing key, a value out of range, or two of one name; names file and key.
    """
    path = folder / OBJECTIVES_FILE
    if not path.is_file():
        return ()
    try:
        found = msgspec.yaml.decode(path.read_bytes(), type=_File).objectives
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise InvalidCommand(f"{path.name}: {error}") from None
    if len({objective.name for objective in found}) < len(found):
        raise InvalidCommand(f"{path.name}: two objectives have one name")
    return tuple(found)
