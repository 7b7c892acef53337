"""From an operator's command to the last of N workers obeying it, and to knowing it: ``python -m benchmarks.delivery``.

N worker processes on one machine, N = 1, 10, 50, and as many subscribers of every other path to a running
process: raw NATS, a NATS KV watch, an etcd watch, Redis pub/sub, in turns. ``--requests`` is per path and round.
"""

import asyncio
import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import uvloop

from benchmarks import arguments, report
from benchmarks.delivery_clients import NAME
from benchmarks.delivery_paths import Peer, missing, peers
from benchmarks.delivery_peers import GAP_S
from benchmarks.delivery_stage import Operator, staged
from benchmarks.delivery_table import Measured, Taken, figures
from benchmarks.figure import Figure
from trimtab.contracts.control import Hint
from trimtab.contracts.message import encode

FLEETS = (1, 10, 50)
QUICK_FLEETS = (1, 3)
BLOCK = 10
"""Commands of one path in a row."""

POLLS = 5
"""Commands of the path that polls, to the largest fleet alone: each waits for a quarter of a minute."""


class Way(Protocol):
    """Something that carries commands to N processes."""

    async def measure(self, into: Taken, commands: int) -> None:
        """Give a number of commands, one after another."""


@dataclass(frozen=True, slots=True)
class Ours:
    """Our operator."""

    operator: Operator
    direct: bool

    async def measure(self, into: Taken, commands: int) -> None:
        """Kill and restore in turn."""
        steer = self.operator.steer_directly if self.direct else self.operator.steer
        for _ in range(commands):
            took = await steer()
            into.applied.append(took.applied)
            into.known.append(took.acknowledged)
            if took.told:
                into.told.append(took.told)
            await asyncio.sleep(GAP_S)


@dataclass(frozen=True, slots=True)
class Theirs:
    """A peer's operator."""

    peer: Peer
    acknowledges: bool

    async def measure(self, into: Taken, commands: int) -> None:
        """Write again and again."""
        for applied, written in await self.peer.measure(commands):
            into.applied.append(applied)
            if self.acknowledges:
                into.known.append(written)


def ways(operator: Operator, others: dict[str, Peer]) -> dict[str, Way]:
    """Return every path by name."""
    ours: dict[str, Way] = {"controller": Ours(operator, False), "direct": Ours(operator, True)}
    return ours | {k: Theirs(peer, k == "core_acknowledged") for k, peer in others.items()}


async def measure_fleet(folder: Path, workers: int, given: arguments.Arguments) -> Measured:
    """Run everything for one N and measure all paths in turns."""
    async with staged(folder, workers) as stage:
        await stage.operator.client.connection.jetstream().create_key_value(bucket=NAME, history=1)
        controls = await stage.operator.store.read()
        body = encode(
            Hint(
                state=controls.state,
                state_revision=controls.state_revision,
                lane=controls.lane,
                lane_revision=controls.lane_revision,
            )
        )
        with peers(folder, stage.server.url, workers, body, quick=given.quick) as others:
            for peer in others.values():
                await peer.ready()
            slow = others.pop("poll", None)
            polled = asyncio.create_task(_polled(slow if workers == max(FLEETS) else None))
            all_ways = ways(stage.operator, others)
            for way in all_ways.values():  # nothing is measured cold
                await way.measure(Taken(), BLOCK)
            rounds = [await _round(all_ways, given.requests) for _ in range(given.rounds)]
            return Measured(rounds, await polled)


async def _polled(peer: Peer | None) -> Taken:
    """Measure the path that polls, beside the others."""
    taken = Taken()
    if peer is not None:
        await Theirs(peer, acknowledges=False).measure(taken, POLLS)
    return taken


async def _round(all_ways: dict[str, Way], requests: int) -> dict[str, Taken]:
    taken = {name: Taken() for name in all_ways}
    for start in range(0, requests, BLOCK):
        for name, way in all_ways.items():
            await way.measure(taken[name], min(BLOCK, requests - start))
    return taken


async def measure(given: arguments.Arguments, folder: Path) -> list[Figure]:
    """Measure one fleet after the other."""
    fleets = QUICK_FLEETS if given.quick else FLEETS
    return figures({n: await measure_fleet(folder / str(n), n, given) for n in fleets})


def main() -> None:
    """Run the benchmark and print its table."""
    given = arguments.read("delivery", __doc__, rounds=5, requests=30)
    if given.quick:
        given = dataclasses.replace(given, requests=min(given.requests, BLOCK))
    facts = report.begin("delivery")
    with tempfile.TemporaryDirectory() as folder:
        found = uvloop.run(measure(given, Path(folder)))
    notes = [
        "Each worker is a process with its own connection, control feed, samples and health endpoint, without a "
        "model; a subscriber of another path is a process that decodes the same document. All of them run "
        "during all of it. The instant is noted by each process in shared memory.",
        "Durable paths (ours, KV watch, etcd) sync every write to disk before they answer. Ours reads both "
        "documents, changes and writes them by compare-and-set, and acknowledges; the others only write. "
        "Workers of ours write the applied state to disk and to their log.",
        "The instant of an acknowledgement is when the operator's process heard it; the controller's word is asked "
        "for as `trimtab kill` asks for it.",
        *(["Redis, etcd and the poll are left out of --quick."] if given.quick else missing()),
    ]
    made = report.Report(
        benchmark="delivery", command=given.command, machine=facts, figures=found, notes=notes
    )
    report.show(made, given.json)


if __name__ == "__main__":
    main()
