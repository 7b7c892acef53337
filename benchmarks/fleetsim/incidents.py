"""What goes wrong, and what operators ask, in one simulated run: drawn from its seed before it begins."""

import random
from dataclasses import dataclass
from enum import StrEnum

from benchmarks.fleetsim.ramp import BAD, BASE, GOOD, component
from trimtab.contracts.control import Switch
from trimtab.contracts.orders import (
    AbortCommand,
    Command,
    FreezeCommand,
    KillCommand,
    PauseCommand,
    PromoteCommand,
    RestoreCommand,
    ResumeCommand,
    RollBackCommand,
    SetCommand,
    SetWeightCommand,
    StartCanaryCommand,
)

WORKERS = ("worker-1", "worker-2", "worker-3")
CONTROLLERS = ("controller-1", "controller-2")
FIRST_S, LAST_S = 2.0, 26.0
"""Between these things go wrong."""


class Trouble(StrEnum):
    """A kind of incident."""

    ORDER = "orders"
    WORKER_CRASH = "worker crashes"
    CONTROLLER_CRASH = "controller crashes"
    FREEZE = "processes frozen"
    FREEZE_WRITING = "leaders about to be frozen while they write"
    CUT = "links cut"
    SERVER_AWAY = "server restarts"
    JETSTREAM_AWAY = "JetStream away"
    NOISE = "noisy spells"
    NO_CONTROLLER = "all controllers dead"


@dataclass(frozen=True, slots=True)
class Incident:
    """One thing that happens."""

    at: float
    """True seconds since the beginning."""
    trouble: Trouble
    target: str = ""
    """Machine; empty when it is nobody's own."""
    lasts_s: float = 0.0
    command: Command | None = None
    """Of an order."""
    strength: float = 0.0
    """Of noise, 0-1."""

    def __str__(self) -> str:
        target = f"{self.target} {self.lasts_s:.1f} s"
        said = type(self.command).__name__ if self.command else target
        return f"{self.at:8.3f} {self.trouble.value}: {said}"


@dataclass(frozen=True, slots=True)
class Plan:
    """One run, whole: the same plan gives the same run."""

    seed: int
    incidents: tuple[Incident, ...]
    unloadable: tuple[str, str] | None = None
    """A worker and the component that it cannot load."""


def plan(seed: int) -> Plan:
    """Return the plan of a seed: a ramp, and between 4 and 14 incidents and orders around it."""
    draw = random.Random(f"plan/{seed}")
    ramped = draw.choice((GOOD, GOOD, BAD))
    start = Incident(
        draw.uniform(1.0, 4.0),
        Trouble.ORDER,
        command=StartCanaryCommand(release=ramped, policy="quick"),
    )
    others = [_incident(draw) for _ in range(draw.randint(4, 14))]
    incidents = tuple(sorted([start, *others], key=lambda incident: incident.at))
    damaged = draw.choice(WORKERS), component(draw.choice((GOOD, BAD)))
    return Plan(seed, incidents, damaged if draw.random() < 0.2 else None)


def _incident(draw: random.Random) -> Incident:
    at = draw.uniform(FIRST_S, LAST_S)
    trouble = draw.choices(tuple(Trouble), (9, 3, 3, 3, 2, 2, 1, 1, 3, 1))[0]
    lasts_s = draw.uniform(0.5, 6.0)
    match trouble:
        case Trouble.ORDER:
            return Incident(at, trouble, command=_command(draw))
        case Trouble.NO_CONTROLLER:
            return Incident(at, trouble, lasts_s=draw.uniform(4.0, 14.0))
        case Trouble.WORKER_CRASH:
            return Incident(at, trouble, draw.choice(WORKERS), lasts_s)
        case Trouble.CONTROLLER_CRASH:
            return Incident(at, trouble, draw.choice(CONTROLLERS), lasts_s)
        case Trouble.FREEZE_WRITING:
            return Incident(at, trouble, draw.choice(CONTROLLERS), draw.uniform(4.0, 14.0))
        case Trouble.FREEZE | Trouble.CUT:
            target = draw.choice((*WORKERS, *CONTROLLERS, *CONTROLLERS))
            return Incident(at, trouble, target, draw.uniform(0.5, 12.0))
        case _:
            return Incident(at, trouble, lasts_s=lasts_s, strength=draw.random())


def _command(draw: random.Random) -> Command:
    tenant = draw.choice(("", "", "acme"))
    ttl_s = draw.choice((4.0, 14_400.0, None))
    choices: list[Command] = [
        KillCommand(switch=Switch.PIPELINE, value="closed", tenant=tenant, ttl_s=ttl_s),
        KillCommand(switch=Switch.RERANKER, value="off", tenant=tenant, ttl_s=ttl_s),
        KillCommand(switch=Switch.MAPPER_MODE, value="rules_only", tenant=tenant, ttl_s=ttl_s),
        KillCommand(switch=Switch.RELEASE, value=draw.choice((GOOD, BAD, BASE)), ttl_s=ttl_s),
        RestoreCommand(switch=draw.choice(tuple(Switch)), tenant=tenant),
        RestoreCommand(switch=Switch.RERANKER),
        SetCommand(name="retriever.nprobe", value=draw.randint(1, 64), tenant=tenant, ttl_s=ttl_s),
        SetWeightCommand(weight_bp=draw.choice((0, 500, 6000, 10_000))),
        PauseCommand(),
        ResumeCommand(),
        PromoteCommand(),
        AbortCommand(),
        RollBackCommand(),
        FreezeCommand(on=True),
        FreezeCommand(on=False),
        StartCanaryCommand(release=draw.choice((GOOD, BAD)), policy="quick"),
    ]
    return draw.choice(choices)
