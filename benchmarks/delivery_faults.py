"""How long a fleet is deaf, a newcomer ignorant, an orphaned canary alive: ``python -m benchmarks.delivery_faults``.

The nats-server is killed and started again, and a command's hint is lost (``--rounds`` times each), workers join
(``--requests`` of them), and the controller is killed while a canary gets requests.
"""

import asyncio
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec
import uvloop
from nats.aio.msg import Msg

from benchmarks import arguments, report
from benchmarks.delivery_outage import DOWN_S, Restart, Watch, restart
from benchmarks.delivery_stage import READY_S, Operator, Stage, staged, until_ready
from benchmarks.figure import AT_MOST, Aim, Figure, over_rounds, percentile
from trimtab.bus.ending import end
from trimtab.contracts import subjects
from trimtab.contracts.orders import CreateReleaseCommand, StartCanaryCommand
from trimtab.control.effective import Controls
from trimtab.control.execute import execute
from trimtab.control.feed import REREAD_S
from trimtab.control.heartbeats import LEASE_S
from trimtab.control.store import ControlStore

WORKERS, QUICK_WORKERS, QUICK_JOINERS = 50, 3, 5
QUICK_LEASE_S = 5.0

BLIND, JOINED = Aim(AT_MOST, 1000.0), Aim(AT_MOST, 50.0)
HEALED = Aim(AT_MOST, (REREAD_S + 1.0) * 1000)

CANARY_BP = 500


class Mute(ControlStore):
    """Writes as ever and tells nobody, as when the hint is lost on the way to everybody."""

    async def hint(self, controls: Controls) -> None:
        """Say nothing."""


async def unhinted(operator: Operator) -> float:
    """Write without a hint; return the milliseconds until the last worker obeys."""
    await asyncio.sleep(
        random.uniform(0, REREAD_S)
    )  # or it would come right after everybody's look
    store = Mute(operator.store.connection, operator.store.bucket)
    began = time.monotonic_ns()
    outcome, _ = await execute(store, operator.order(), now=time.time())
    return (await operator.slots.until(outcome.revision, operator.workers) - began) / 1e6


async def join(stage: Stage, index: int) -> float:
    """Fork one more worker; return the milliseconds from its first instruction to its first state."""
    stage.fleet.tell("fork", index, 1)
    await stage.fleet.slots.until(1, range(index, index + 1))
    _, at, began = stage.fleet.slots.read(index)
    return (at - began) / 1e6


async def orphan(stage: Stage) -> float:
    """Kill the controller under a canary; return the seconds from its last beat to weight 0 everywhere."""
    operator = stage.operator
    await _canary(operator)
    beat = asyncio.Event()
    last = 0

    async def hear(_: Msg) -> None:
        nonlocal last
        last = time.monotonic_ns()
        beat.set()

    await operator.client.connection.subscribe(subjects.HEARTBEAT, cb=hear)
    async with asyncio.timeout(READY_S):
        await beat.wait()
    operator.expired.clear()
    stage.controller.kill()
    async with asyncio.timeout(LEASE_S + READY_S):
        while len(operator.expired) < len(operator.workers):  # noqa: ASYNC110 - heard in a callback
            await asyncio.sleep(0.01)
    return (max(operator.expired.values()) - last) / 1e9


async def _canary(operator: Operator) -> None:
    stable = (await operator.store.read()).release
    release = msgspec.structs.replace(stable, name="next", settings={"retriever.nprobe": 4})
    created = operator.order(CreateReleaseCommand(release=release))
    await execute(operator.store, created, now=time.time())
    started = operator.order(StartCanaryCommand(release="next", weight_bp=CANARY_BP))
    outcome, _ = await execute(operator.store, started, now=time.time())
    await operator.acknowledged(outcome.revision)


@dataclass(frozen=True, slots=True)
class Found:
    """What the faults did."""

    restarts: list[Restart]
    watch_ms: float
    """Until a KV watch saw the command after the last restart; 0: it was left out."""
    unhinted_ms: list[float]
    """Until the last worker obeyed a command whose hint was lost."""
    joins_ms: list[float]
    """Until a new worker obeyed."""
    orphaned_s: float
    """From the controller's last beat until the last canary had ended."""
    lease_s: float
    """Of the canary."""


def figures(found: Found) -> list[Figure]:
    """Return the table's lines."""
    return [
        *_restart_figures(found),
        *_hint_figures(found),
        *_join_figures(found),
        _orphan_figure(found),
    ]


def _restart_figures(found: Found) -> list[Figure]:
    n = len(found.restarts)
    obeyed, written = [r.obeyed for r in found.restarts], [r.written for r in found.restarts]
    after = "after a restart, port listening until"
    longest = f"longest of {n}: {after} last worker obeys"
    lines = [
        over_rounds(longest, "ms", [max(obeyed)], n=n, aim=BLIND),
        over_rounds(f"{after} last worker obeys", "ms", obeyed, n=n),
        over_rounds(f"{after} the command is written", "ms", written, n=n),
    ]
    if found.watch_ms:
        name = f"{after} a NATS KV watch alone sees it"
        lines.append(over_rounds(name, "ms", [found.watch_ms], n=1))
    return lines


def _hint_figures(found: Found) -> list[Figure]:
    n, name = len(found.unhinted_ms), "hint lost, command given until last worker obeys"
    longest = [max(found.unhinted_ms)]
    return [
        over_rounds(f"longest of {n}: {name}", "ms", longest, n=n, aim=HEALED),
        over_rounds(name, "ms", found.unhinted_ms, n=n),
    ]


def _join_figures(found: Found) -> list[Figure]:
    joins = found.joins_ms
    return [
        Figure(
            name=f"p{share * 100:.0f} late joiner, first instruction until it obeys the state",
            unit="ms",
            value=percentile(joins, share),
            low=min(joins),
            high=max(joins),
            rounds=1,
            n=len(joins),
            aim=aim,
        )
        for share, aim in ((0.99, JOINED), (0.50, None))
    ]


def _orphan_figure(found: Found) -> Figure:
    name = (
        f"controller killed, lease {found.lease_s:g} s: its last beat until no worker has a canary"
    )
    aim = Aim(AT_MOST, found.lease_s + 1.0)
    return over_rounds(name, "s", [found.orphaned_s], n=1, aim=aim)


async def restarts(
    stage: Stage, workers: int, count: int, *, watched: bool
) -> tuple[list[Restart], float]:
    """Restart the server a number of times; also return what a KV watch took after the last one."""
    found = [await _restarted(stage, workers) for _ in range(count - 1)]
    if not watched:
        return [*found, await _restarted(stage, workers)], 0.0
    watch = Watch()
    watching = asyncio.create_task(watch.run(stage.server.url))
    await watch.began.wait()
    last = await _restarted(stage, workers)
    saw = await watch.saw(last.revision)
    await end(watching)
    return [*found, last], (saw - last.listening) / 1e6


async def _restarted(stage: Stage, workers: int) -> Restart:
    found = await restart(stage)
    await until_ready(stage.operator.client, workers)
    return found


async def measure(given: arguments.Arguments, folder: Path) -> list[Figure]:
    """Run all faults on one fleet."""
    workers, joiners, lease_s = WORKERS, given.requests, LEASE_S
    if given.quick:
        workers, joiners, lease_s = QUICK_WORKERS, QUICK_JOINERS, QUICK_LEASE_S
    async with staged(folder, workers, spare=joiners, lease_s=lease_s) as stage:
        done, watch_ms = await restarts(stage, workers, given.rounds, watched=not given.quick)
        healed = [await unhinted(stage.operator) for _ in range(given.rounds)]
        joins = [await join(stage, workers + number) for number in range(joiners)]
        stage.fleet.tell("end", workers, joiners)
        orphaned_s = await orphan(stage)
    return figures(Found(done, watch_ms, healed, joins, orphaned_s, lease_s))


def main() -> None:
    """Run the benchmark and print its table."""
    given = arguments.read("delivery_faults", __doc__, rounds=5, requests=30)
    facts = report.begin("delivery_faults")
    with tempfile.TemporaryDirectory() as folder:
        found = uvloop.run(measure(given, Path(folder) / "stage"))
    notes = [
        f"The server is away for {DOWN_S:g} s. The command is given over a new connection as soon as the port "
        "listens; workers that are not back yet read it when they are.",
        "A late joiner counts from the first instruction of a process that has its modules already: its loop, "
        "its health endpoint, the connection, both documents read and applied; the interpreter and the imports "
        "are left out.",
        "A canary has ended when the operator has heard the last worker say so, which a worker does within a "
        "quarter of a second.",
    ]
    if given.quick:
        notes.append("The KV watch takes half a minute: left out of --quick.")
    made = report.Report(
        benchmark="delivery_faults",
        command=given.command,
        machine=facts,
        figures=found,
        notes=notes,
    )
    report.show(made, given.json)


if __name__ == "__main__":
    main()
