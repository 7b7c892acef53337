"""A search over NATS and over HTTP beside the same components in one process: ``python -m benchmarks.end_to_end``.

The deployment's encoder caches nothing here, so every search pays for its encoding on all ways.
"""

import tempfile
from pathlib import Path

import uvloop

from benchmarks import arguments, fleet, handlers, report
from benchmarks.figure import AT_LEAST, AT_MOST, Aim, Figure, over_rounds
from benchmarks.inprocess import keep_to_one_thread
from benchmarks.questions import cycle, questions
from benchmarks.rounds import Call, Plan, Timings, alternate
from benchmarks.ways import Echoes, echoing, ways

P50_ADDED = Aim(AT_MOST, 2.5)
THROUGHPUT = Aim(AT_LEAST, 0.8)
HTTP_P95 = Aim(AT_MOST, 8.0)
CROWD = 32
"""Requests in flight at once in the second half."""


def beside(handled: handlers.Handlers, echoes: Echoes, texts: list[str]) -> dict[str, Call]:
    """Return what is measured beside the three ways at concurrency 1, to say what costs what."""
    given = {"handlers": cycle(texts[::2]), "floor": cycle(texts[1::2])}

    async def handle() -> None:
        await handled.search(next(given["handlers"]))

    async def echo() -> None:
        await echoes.search(next(given["floor"]))

    return {"handlers": handle, "floor": echo}


def alone(rounds: list[dict[str, Timings]]) -> list[Figure]:
    """Return the figures at one request at a time."""
    n = sum(len(timings["nats"].latencies_ms) for timings in rounds)
    names = {
        "local": "in process",
        "handlers": "by the services' own handlers, no bus",
        "floor": "by four raw nats-py echoes, no pipeline",
        "nats": "over NATS",
        "http": "over HTTP",
    }

    def added(way: str, aim: Aim | None = None) -> Figure:
        values = [r[way].p50_ms - r["local"].p50_ms for r in rounds]
        return over_rounds(f"p50 added {names[way]}, concurrency 1", "ms", values, n=n, aim=aim)

    def of_the_bus() -> Figure:
        values = [r["nats"].p50_ms - r["handlers"].p50_ms for r in rounds]
        return over_rounds("p50 of it: gateway and bus over NATS", "ms", values, n=n)

    def added_p95(way: str) -> Figure:
        values = [r[way].p95_ms - r["local"].p95_ms for r in rounds]
        return over_rounds(f"p95 added {names[way]}, concurrency 1", "ms", values, n=n)

    p50 = [
        over_rounds(f"p50 {names[way]}, concurrency 1", "ms", [r[way].p50_ms for r in rounds], n=n)
        for way in names
    ]
    p95 = [
        over_rounds(
            f"p95 {names[way]}, concurrency 1",
            "ms",
            [r[way].p95_ms for r in rounds],
            n=n,
            aim=HTTP_P95 if way == "http" else None,
        )
        for way in names
    ]
    return [
        added("nats", P50_ADDED),
        added("handlers"),
        of_the_bus(),
        added("floor"),
        added("http"),
        added_p95("nats"),
        added_p95("http"),
        *p50,
        *p95,
    ]


def crowded(rounds: list[dict[str, Timings]]) -> list[Figure]:
    """Return the figures at 32 requests at a time."""
    n = sum(len(timings["nats"].latencies_ms) for timings in rounds)

    def share(name: str, way: str, aim: Aim | None = None) -> Figure:
        values = [r[way].per_second / r["local"].per_second for r in rounds]
        return over_rounds(
            f"throughput ratio {name} / in process, concurrency {CROWD}", "x", values, n=n, aim=aim
        )

    def rate(name: str, way: str) -> Figure:
        values = [r[way].per_second for r in rounds]
        return over_rounds(f"throughput {name}, concurrency {CROWD}", "searches/s", values, n=n)

    def p95(name: str, way: str) -> Figure:
        values = [r[way].p95_ms for r in rounds]
        return over_rounds(f"p95 {name}, concurrency {CROWD}", "ms", values, n=n)

    return [
        share("over NATS", "nats", THROUGHPUT),
        share("over HTTP", "http"),
        rate("in process, a thread per core", "local"),
        rate("over NATS", "nats"),
        rate("over HTTP", "http"),
        p95("over NATS", "nats"),
        p95("over HTTP", "http"),
    ]


async def measure(given: arguments.Arguments) -> list[Figure]:
    """Bring a deployment up and measure all ways."""
    modules = fleet.QUICK_MODULES if given.quick else ()
    texts = questions(modules)
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) / "home" if given.quick else fleet.HOME
        async with (
            fleet.running(
                fleet.SEARCH, home, modules=modules, environment=fleet.NO_CACHE
            ) as running,
            ways(running, Path(scratch)) as opened,
        ):
            await opened.agree(texts[:20])
            plan = Plan(given.rounds, given.requests)
            async with (
                handlers.opened(opened.local.files) as handled,
                echoing(opened, running, Path(scratch)) as echoes,
            ):
                calls = opened.calls(texts, beside=False) | beside(handled, echoes, texts)
                found = alone(await alternate(calls, plan))
            crowd = Plan(given.rounds, given.requests, concurrency=CROWD, block=8 * CROWD)
            return found + crowded(await alternate(opened.calls(texts, beside=True), crowd))


def main() -> None:
    """Run the benchmark and print its table."""
    given = arguments.read("end_to_end", __doc__, rounds=5, requests=500)
    facts = report.begin("end_to_end")
    keep_to_one_thread()
    found = uvloop.run(measure(given))
    notes = [
        "In process at concurrency 32: one set of components and one thread per core, no client beside "
        "it; over the bus the client, the gateway, the server and the stages share the same cores."
    ]
    made = report.Report(
        benchmark="end_to_end", command=given.command, machine=facts, figures=found, notes=notes
    )
    report.show(made, given.json)


if __name__ == "__main__":
    main()
