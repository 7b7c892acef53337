"""A search over NATS and over HTTP beside the same components in one process: ``python -m benchmarks.end_to_end``.

The deployment's encoder caches nothing here, so every search pays for its encoding on all three ways.
"""

import asyncio
import contextlib
import os
import tempfile
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgspec
import uvloop

from benchmarks import arguments, fleet, handlers, report
from benchmarks.figure import AT_LEAST, AT_MOST, Aim, Figure, over_rounds
from benchmarks.handlers import Handlers
from benchmarks.http_load import HttpConnections
from benchmarks.inprocess import Files, Search, keep_to_one_thread
from benchmarks.questions import cycle, questions
from benchmarks.rounds import Call, Plan, Timings, alternate
from services.retriever.index import use_one_thread
from trimtab.client import Client
from trimtab.contracts.pipeline import SearchReply, SearchRequest
from trimtab.control.store import ControlStore

P50_ADDED = Aim(AT_MOST, 2.5)
THROUGHPUT = Aim(AT_LEAST, 0.8)
HTTP_P95 = Aim(AT_MOST, 8.0)
CROWD = 32
"""Requests in flight at once in the second half."""

NO_CACHE = {"ENCODER_CACHE_ENTRIES": "0"}
_TIMEOUT_S = 30.0


class Disagreement(RuntimeError):
    """Two ways of the same search found other passages: the comparison would mean nothing."""


@dataclass
class Local:
    """The components in this process: one set for the loop's thread, one per core for the crowd."""

    files: Files
    alone: Search
    pool: ThreadPoolExecutor
    threads: threading.local

    @classmethod
    async def open(cls, files: Files) -> "Local":
        """Load one set, beside the loop: a loop that stands still for seconds loses its connection."""
        alone = await asyncio.to_thread(Search, files)
        use_one_thread()
        cores = len(os.sched_getaffinity(0))
        return cls(files, alone, ThreadPoolExecutor(cores), threading.local())

    def search(self, text: str) -> list[str]:
        """Search in the loop's thread."""
        return self.alone.search(text)

    async def search_beside(self, text: str) -> list[str]:
        """Search in one of the threads; each loads its set at its first search."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, self._in_thread, text)

    def _in_thread(self, text: str) -> list[str]:
        if not hasattr(self.threads, "search"):
            self.threads.search = Search(self.files)
        found: list[str] = self.threads.search.search(text)
        return found


@dataclass
class Ways:
    """The three ways of one search."""

    local: Local
    client: Client
    http: HttpConnections

    async def over_nats(self, text: str) -> SearchReply:
        """Ask the gateway over the bus."""
        return await self.client.search(text, timeout_s=_TIMEOUT_S)

    async def over_http(self, text: str) -> SearchReply:
        """Ask the gateway over HTTP."""
        body = msgspec.json.encode(SearchRequest(text=text))
        return msgspec.json.decode(await self.http.post("/v1/search", body), type=SearchReply)

    def calls(self, texts: list[str], *, beside: bool) -> dict[str, Call]:
        """Return one call per way; ``beside`` runs the local one in the threads."""
        given = {way: cycle(texts[start::3]) for start, way in enumerate(("local", "nats", "http"))}

        async def local() -> None:
            text = next(given["local"])
            if beside:
                await self.local.search_beside(text)
            else:
                self.local.search(text)

        async def nats() -> None:
            _complete(await self.over_nats(next(given["nats"])))

        async def http() -> None:
            _complete(await self.over_http(next(given["http"])))

        return {"local": local, "nats": nats, "http": http}

    def with_handlers(self, handlers: Handlers, texts: list[str]) -> dict[str, Call]:
        """Return the calls at concurrency 1 and one more: the services' handlers in this process."""
        given = cycle(texts[::2])

        async def handled() -> None:
            await handlers.search(next(given))

        return {**self.calls(texts, beside=False), "handlers": handled}

    async def agree(self, texts: list[str]) -> None:
        """Check that all ways find the same passages in the same order.

        Raises:
            Disagreement: they do not.
        """
        for text in texts:
            expected = self.local.search(text)
            for reply in (await self.over_nats(text), await self.over_http(text)):
                if [result.id for result in reply.results] != expected:
                    raise Disagreement("a search over the bus found other passages than in process")


def _complete(reply: SearchReply) -> None:
    if reply.degraded:
        raise Disagreement(f"a search was answered without a stage: {reply.degraded}")


@contextlib.asynccontextmanager
async def ways(running: fleet.Fleet, scratch: Path) -> AsyncIterator[Ways]:
    """Open all three ways into a running deployment."""
    async with (
        Client.connect(running.nats_url, name="bench") as client,
        HttpConnections(running.http_url) as http,
    ):
        release = (await (await ControlStore.open(client.connection)).read()).release
        files = Files.of(running.home, release, scratch / "passages.db")
        yield Ways(await Local.open(files), client, http)


def alone(rounds: list[dict[str, Timings]]) -> list[Figure]:
    """Return the figures at one request at a time."""
    n = sum(len(timings["nats"].latencies_ms) for timings in rounds)
    names = {
        "local": "in process",
        "handlers": "by the services' own handlers, no bus",
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
            fleet.running(fleet.SEARCH, home, modules=modules, environment=NO_CACHE) as running,
            ways(running, Path(scratch)) as opened,
        ):
            await opened.agree(texts[:20])
            plan = Plan(given.rounds, given.requests)
            async with handlers.opened(opened.local.files) as handled:
                calls = opened.with_handlers(handled, texts)
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
