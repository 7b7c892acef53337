"""What being steerable costs a request: ``python -m benchmarks.steering_cost``.

Every part that a search pays for (gate, state, assignment, sample) called alone, against a search through the
deployment; and one hop of the bus with and without them, in turns.
"""

import contextlib
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import uvloop

from benchmarks import arguments, fleet, machine, report
from benchmarks.bus_hop import BODY, context, until_answered
from benchmarks.figure import AT_MOST, Aim, Figure, over_rounds
from benchmarks.hop_responder import Blob, subject
from benchmarks.processes import child
from benchmarks.questions import cycle, questions
from benchmarks.rounds import Call, Plan, Timings, alternate, measured
from benchmarks.steering_parts import (
    LOOKS,
    SERVICES,
    Parts,
    controls,
    microseconds,
    parts,
    per_search_us,
)
from benchmarks.steering_responder import KINDS
from trimtab.bus.caller import Caller
from trimtab.bus.connection import connect
from trimtab.bus.ending import close
from trimtab.bus.local_server import LocalServer
from trimtab.client import Client
from trimtab.control.effective import Controls
from trimtab.control.store import ControlStore
from trimtab.telemetry import logs

AIM = Aim(AT_MOST, 2.0)
CALLS = 20_000
"""Of each part and round."""

Micro = dict[str, float]
"""Microseconds of one call, by the part's name."""


async def called_alone(found: Parts, calls: int) -> Micro:
    """Measure every part."""
    everything = (found.nothing, *found.per_search, found.per_second)
    return {part.name: await microseconds(part, calls) for part in everything}


async def hops(folder: Path, plan: Plan, state: Controls) -> list[dict[str, Timings]]:
    """Measure a hop of the bus to a steered and to an unsteered worker, in turns."""
    server = LocalServer(folder / "nats")
    server.start()
    with contextlib.ExitStack() as stack:
        stack.callback(server.stop)
        connection = await connect(server.url, "bench")
        try:
            store = await ControlStore.open(connection, create=True)
            await store.write_state(state.state, 0)
            await store.write_lane(state.lane, 0)
            for kind in KINDS:
                command = ("-m", "benchmarks.steering_responder", kind, server.url, str(folder))
                stack.enter_context(child(folder / f"{kind}.log", *command))
            calls = _hop_calls(Caller(connection))
            for call in calls.values():
                await until_answered(call)
            return await alternate(calls, plan)
        finally:
            await close(connection)


def _hop_calls(caller: Caller) -> dict[str, Call]:
    blob = Blob(data=bytes(BODY))

    def call_of(kind: str) -> Call:
        async def call() -> None:
            await caller.call(subject(kind), blob, Blob, context())

        return call

    return {kind: call_of(kind) for kind in KINDS}


async def searches(
    running: fleet.Fleet, requests: int, texts: Iterator[str]
) -> tuple[float, float]:
    """Return p50 of a search over NATS and the services' processor time per search, microseconds."""
    serving = [pid for name, pid in running.pids.items() if not name.startswith(_NOT_SERVING)]
    async with Client.connect(running.nats_url, name="bench") as client:

        async def search() -> None:
            await client.search(next(texts), timeout_s=30.0)

        await measured(search, Timings(), 20, 1)  # nothing is measured cold
        before = sum(map(machine.cpu_seconds, serving))
        timings = Timings()
        await measured(search, timings, requests, 1)
        spent = sum(map(machine.cpu_seconds, serving)) - before
    return timings.p50_ms * 1000, spent / requests * 1e6


_NOT_SERVING = ("nats", "controller")


def micro_figures(found: Parts, rounds: list[Micro], calls: int) -> list[Figure]:
    """Return what each part takes alone."""
    n = calls * len(rounds)
    lines = [
        over_rounds(
            f"{part.name}, {part.times} per search", "us", [r[part.name] for r in rounds], n=n
        )
        for part in found.per_search
    ]
    total = [per_search_us(each, found) for each in rounds]
    part = found.per_second
    share = [each[part.name] / 1e6 * 100 for each in rounds]
    return [
        over_rounds("steering per search, all services together", "us", total, n=n),
        *lines,
        over_rounds(f"{part.name}, once a second: share of a core per worker", "%", share, n=n),
    ]


def hop_figures(rounds: list[dict[str, Timings]]) -> list[Figure]:
    """Return what a hop takes with and without."""
    n = sum(len(r["steered"].latencies_ms) for r in rounds)
    p50 = {kind: [r[kind].p50_ms * 1000 for r in rounds] for kind in KINDS}
    added = [a - b for a, b in zip(p50["steered"], p50["unsteered"], strict=True)]
    share = [a / b * 100 for a, b in zip(added, p50["unsteered"], strict=True)]
    return [
        *(over_rounds(f"p50 of a hop, {kind}", "us", p50[kind], n=n) for kind in KINDS),
        over_rounds("p50 of a hop, added by gate, metrics and samples", "us", added, n=n),
        over_rounds("the same, of an empty hop", "%", share, n=n),
    ]


def search_figures(
    found: Parts, rounds: list[Micro], taken: list[tuple[float, float]], n: int
) -> list[Figure]:
    """Return steering's share of a search."""
    total = [per_search_us(each, found) for each in rounds]
    of_p50 = [us / p50 * 100 for us, (p50, _) in zip(total, taken, strict=True)]
    of_cpu = [us / cpu * 100 for us, (_, cpu) in zip(total, taken, strict=True)]
    return [
        over_rounds("steering's share of a search's p50, over NATS", "%", of_p50, n=n, aim=AIM),
        over_rounds("steering's share of the services' CPU per search", "%", of_cpu, n=n),
        over_rounds("p50 of a search, over NATS", "ms", [p50 / 1000 for p50, _ in taken], n=n),
        over_rounds("CPU per search, all services", "ms", [cpu / 1000 for _, cpu in taken], n=n),
    ]


async def measure(given: arguments.Arguments, folder: Path) -> list[Figure]:
    """Measure the parts, the search unless it is a quick run, and the hop."""
    found = await parts(folder / "home")
    calls = CALLS // 20 if given.quick else CALLS
    micro: list[Micro] = []
    taken: list[tuple[float, float]] = []
    async with contextlib.AsyncExitStack() as stack:
        search = None if given.quick else await _deployment(stack)
        for _ in range(given.rounds):
            micro.append(await called_alone(found, calls))
            if search is not None:
                taken.append(await search(given.requests))
    share = search_figures(found, micro, taken, given.rounds * given.requests) if taken else []
    plan = Plan(given.rounds, given.requests)
    hop = hop_figures(await hops(folder, plan, controls()))
    return [*share, *micro_figures(found, micro, calls), *hop]


Search = Callable[[int], Awaitable[tuple[float, float]]]
"""``(requests)``: what :func:`searches` returns."""


async def _deployment(stack: contextlib.AsyncExitStack) -> Search:
    """Run a whole deployment until the stack closes; return what searches through it."""
    home = fleet.running(fleet.SEARCH, fleet.HOME, environment=fleet.NO_CACHE)
    running, texts = await stack.enter_async_context(home), cycle(questions())
    return lambda requests: searches(running, requests, texts)


def main() -> None:
    """Run the benchmark and print its table."""
    given = arguments.read("steering_cost", __doc__, rounds=5, requests=500)
    facts = report.begin("steering_cost")
    logs.configure("error")
    with tempfile.TemporaryDirectory() as folder:
        found = uvloop.run(measure(given, Path(folder)))
    notes = [
        f"A search asks {SERVICES} services; each asks its gate and counts once, the gateway also chooses the "
        f"release, counts the whole and looks {LOOKS} settings up. The state holds four releases, a canary, "
        "a setting and a kill; the parts run the workers' own code, in this process, without a pause.",
        "Metrics of the services are counted as part of it.",
    ]
    if given.quick:
        notes.append("The search is left out of --quick: it needs a whole deployment.")
    made = report.Report(
        benchmark="steering_cost", command=given.command, machine=facts, figures=found, notes=notes
    )
    report.show(made, given.json)


if __name__ == "__main__":
    main()
