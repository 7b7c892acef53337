"""What is to run: one process of the deployment, as plain data."""

from dataclasses import dataclass, field
from typing import Literal

Tier = Literal["bus", "engine", "worker", "edge"]
"""Started in this order, stopped in the opposite one: the edge finishes its requests while workers live."""

TIERS: tuple[Tier, ...] = ("bus", "engine", "worker", "edge")


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One process."""

    name: str
    """Unique in the deployment: ``encoder-1``."""
    tier: Tier
    """When it starts and stops."""
    arguments: tuple[str, ...]
    """Command line."""
    environment: dict[str, str] = field(default_factory=dict)
    """Added to the supervisor's own environment."""
    grace_s: float = 45.0
    """Between SIGTERM and SIGKILL; a worker may drain for 20 s and then close for as long."""
