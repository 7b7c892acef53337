"""What ``delivery`` found, as lines of its table: quantiles of every path and fleet, ratios, aims. Pure."""

from dataclasses import dataclass, field

from benchmarks.delivery_clients import POLL_S
from benchmarks.figure import AT_MOST, Aim, Figure, over_rounds, percentile

APPLIED, ACKNOWLEDGED, RATIO = Aim(AT_MOST, 50.0), Aim(AT_MOST, 100.0), Aim(AT_MOST, 1.3)

NAMES = {
    "controller": "ours, through the controller",
    "direct": "ours, --direct",
    "core": "raw NATS publish, nothing kept",
    "core_acknowledged": "raw NATS publish, each subscriber acknowledges",
    "redis": "Redis pub/sub, nothing kept",
    "kv": "NATS KV watch",
    "etcd": "etcd watch",
    "poll": f"a {POLL_S:g} s poll of NATS KV",
}
OURS = ("controller", "direct")
DURABLE = ("kv", "etcd")
"""Peers that keep the command for who missed it, synced to disk as ours is."""


@dataclass
class Taken:
    """What one path took in one round, milliseconds per command."""

    applied: list[float] = field(default_factory=list)
    """Until the last of N had it in force."""
    known: list[float] = field(default_factory=list)
    """Until the operator had heard so from all; empty where nobody says."""
    told: list[float] = field(default_factory=list)
    """Until the controller said so."""


Rounds = list[dict[str, Taken]]


@dataclass(frozen=True, slots=True)
class Measured:
    """What one fleet found."""

    rounds: Rounds
    polled: Taken
    """By the path that polls; empty in a quick run."""


def quantile(name: str, share: float, rounds: list[list[float]], aim: Aim | None = None) -> Figure:
    """Return a quantile over all rounds together; its spread is of the single rounds' quantiles."""
    pooled = [value for values in rounds for value in values]
    single = [percentile(values, share) for values in rounds]
    return Figure(
        name=f"p{share * 100:.0f} {name}",
        unit="ms",
        value=percentile(pooled, share),
        low=min(single),
        high=max(single),
        rounds=len(rounds),
        n=len(pooled),
        aim=aim,
    )


def figures(found: dict[int, Measured]) -> list[Figure]:
    """Return the table's lines: what is aimed at for the largest fleet, then every path and N."""
    largest = max(found)
    rounds = found[largest].rounds
    lines = [_ratio(way, largest, rounds) for way in OURS]
    for what, ways, aim in (
        ("applied", OURS, APPLIED),
        ("known", OURS, ACKNOWLEDGED),
        ("told", OURS[:1], ACKNOWLEDGED),
    ):
        lines += [_line(what, way, 0.99, largest, rounds, aim) for way in ways]
    for workers, measured in found.items():
        lines += [*_lines(workers, measured.rounds), *_poll(workers, measured.polled)]
    return list({line.name: line for line in reversed(lines)}.values())[::-1]


def _lines(workers: int, rounds: Rounds) -> list[Figure]:
    return [
        _line(what, way, share, workers, rounds)
        for what in _WHAT
        for way in rounds[0]
        if getattr(rounds[0][way], what)
        for share in (0.50, 0.99)
    ]


_WHAT = {
    "applied": "last of {} applied",
    "known": "the operator heard all {} say so",
    "told": "the controller said that all {} obey",
}


def _line(
    what: str, way: str, share: float, workers: int, rounds: Rounds, aim: Aim | None = None
) -> Figure:
    values = [getattr(taken[way], what) for taken in rounds]
    return quantile(f"until {_WHAT[what].format(workers)}: {NAMES[way]}", share, values, aim)


def _ratio(way: str, workers: int, rounds: Rounds) -> Figure:
    values = []
    for taken in rounds:
        p50 = {name: percentile(each.applied, 0.50) for name, each in taken.items()}
        values.append(p50[way] / min(p50[peer] for peer in DURABLE if peer in p50))
    n = sum(len(taken[way].applied) for taken in rounds)
    name = f"p50 ratio, last of {workers} applied: {NAMES[way]} / fastest durable path"
    return over_rounds(name, "x", values, n=n, aim=RATIO)


def _poll(workers: int, polled: Taken) -> list[Figure]:
    """Return what was measured, and the quantiles of the greatest of N uniform waits.

    A wait is uniform between 0 and the interval, so the greatest of N is at most ``interval * q ** (1 / N)``
    with probability q; that needs no minutes of waiting and no luck.
    """
    name = f"until {_WHAT['applied'].format(workers)}: {NAMES['poll']}"
    lines = [quantile(name, 0.50, [polled.applied])] if polled.applied else []
    for share in (0.50, 0.99):
        longest = POLL_S * 1000 * share ** (1 / workers)
        lines.append(over_rounds(f"p{share * 100:.0f} {name}, computed", "ms", [longest], n=1))
    return lines
