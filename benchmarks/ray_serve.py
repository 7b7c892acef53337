"""Our pipeline beside the same components as a Ray Serve application: ``python -m benchmarks.ray_serve``.

What each adds to the components called in process, over its own protocol and over HTTP, in one run.
Ray is installed on demand into an environment of its own.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import tempfile
import tomllib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import uvloop

from benchmarks import arguments, environments, fleet, report
from benchmarks.figure import AT_LEAST, Aim, Figure, over_rounds
from benchmarks.http_load import HttpConnections
from benchmarks.inprocess import Files, keep_to_one_thread
from benchmarks.processes import ChildFailed, tail
from benchmarks.questions import cycle, questions
from benchmarks.rounds import Blocks, Plan, Timings, alternate_blocks, measured
from benchmarks.ways import Disagreement, Ways, ways
from trimtab.supervisor import ports

RAY = "ray[serve]==2.60.0"
AIM = Aim(AT_LEAST, 4.0)
ROOT = Path(__file__).parents[1]

_EXTRAS = ("encoder", "retriever", "reranker")
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'libs'}",
}
_NAMES = {
    "local": "in process",
    "nats": "ours over NATS",
    "http": "ours over HTTP",
    "ray": "Ray Serve, handle",
    "ray_http": "Ray Serve, HTTP",
}


def requirements() -> list[str]:
    """Return what the three stages need, as this project declares it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    declared: list[str] = [*project["dependencies"], *(r for e in _EXTRAS for r in extras[e])]
    return [RAY, *sorted(set(declared))]


@dataclass
class Driver:
    """The process that runs the application and calls its handle."""

    process: "subprocess.Popen[str]"
    log: Path
    texts: Iterator[str]

    def ask(self, command: dict[str, object]) -> dict[str, object]:
        """Send a command and return the answer.

        Raises:
            ChildFailed: the process ended.
        """
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self) -> dict[str, object]:
        """Return the next answer; other lines are Ray's own.

        Raises:
            ChildFailed: the process ended.
        """
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("@"):
                answer: dict[str, object] = json.loads(line[1:])
                return answer
        raise ChildFailed(f"the Ray application ended\n{tail(self.log)}")

    async def block(self, into: Timings, requests: int, concurrency: int) -> None:
        """Measure a block through the handle, in that process."""
        texts = [next(self.texts) for _ in range(requests)]
        answer = await asyncio.to_thread(self.ask, {"texts": texts, "concurrency": concurrency})
        taken = msgspec.convert(answer, _Taken)
        into.latencies_ms += taken.latencies_ms
        into.elapsed_s += taken.elapsed_s


class _Taken(msgspec.Struct):
    latencies_ms: list[float]
    elapsed_s: float


@contextlib.asynccontextmanager
async def application(
    python: Path, files: Files, folder: Path, texts: list[str]
) -> AsyncIterator[tuple[Driver, HttpConnections]]:
    """Run the Ray application until the block ends; enters once it is deployed."""
    port, log = ports.free_port(), folder / "ray.log"
    process = _start(python, files, port, log)
    try:
        driver = Driver(process, log, cycle(texts))
        await asyncio.to_thread(driver.answer)
        async with HttpConnections(f"http://{ports.HOST}:{port}") as http:
            yield driver, http
    finally:
        await asyncio.to_thread(process.communicate)


def _start(python: Path, files: Files, port: int, log: Path) -> "subprocess.Popen[str]":
    described = msgspec.json.encode(files).decode()
    with log.open("ab") as errors:
        return subprocess.Popen(
            [python, "-m", "benchmarks.ray_app", described, str(port)],
            env=os.environ | _ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )


async def agree(opened: Ways, driver: Driver, texts: list[str]) -> None:
    """Check that Ray's application finds what the components find in process.

    Raises:
        Disagreement: it does not.
    """
    for text in texts:
        answer = await asyncio.to_thread(driver.ask, {"ids": text})
        if answer["ids"] != opened.local.search(text):
            raise Disagreement("Ray's application found other passages than in process")


def figures(rounds: list[dict[str, Timings]]) -> list[Figure]:
    """Return the table's lines."""
    n = sum(len(timings["local"].latencies_ms) for timings in rounds)

    def added(way: str) -> list[float]:
        return [r[way].p50_ms - r["local"].p50_ms for r in rounds]

    def times(theirs: str, mine: str, aim: Aim | None) -> Figure:
        values = [t / m for t, m in zip(added(theirs), added(mine), strict=True)]
        name = f"p50 added: {_NAMES[theirs]} / {_NAMES[mine]}"
        return over_rounds(name, "x", values, n=n, aim=aim)

    ratios = [times("ray", "nats", AIM), times("ray_http", "http", None)]
    overheads = [
        over_rounds(f"p50 added, {_NAMES[way]}", "ms", added(way), n=n)
        for way in _NAMES
        if way != "local"
    ]
    p50 = [
        over_rounds(f"p50 {_NAMES[w]}", "ms", [r[w].p50_ms for r in rounds], n=n) for w in _NAMES
    ]
    p95 = [
        over_rounds(f"p95 {_NAMES[w]}", "ms", [r[w].p95_ms for r in rounds], n=n) for w in _NAMES
    ]
    return [*ratios, *overheads, *p50, *p95]


def blocks(
    opened: Ways, driver: Driver, http: HttpConnections, texts: list[str]
) -> dict[str, Blocks]:
    """Return the five ways, each measured where it is called."""
    given = cycle(texts)

    async def ray_http() -> None:
        await http.post("/", msgspec.json.encode({"text": next(given)}))

    ours: dict[str, Blocks] = {
        name: partial(measured, call) for name, call in opened.calls(texts, beside=False).items()
    }
    return {**ours, "ray": driver.block, "ray_http": partial(measured, ray_http)}


async def measure(given: arguments.Arguments, python: Path) -> list[Figure]:
    """Run both deployments and measure all ways."""
    modules = fleet.QUICK_MODULES if given.quick else ()
    texts = questions(modules)
    async with contextlib.AsyncExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        home = scratch / "home" if given.quick else fleet.HOME
        started = fleet.running(fleet.SEARCH, home, modules=modules, environment=fleet.NO_CACHE)
        running = await stack.enter_async_context(started)
        opened = await stack.enter_async_context(ways(running, scratch))
        files = opened.local.files
        driver, http = await stack.enter_async_context(application(python, files, scratch, texts))
        await agree(opened, driver, texts[:10])
        plan = Plan(given.rounds, given.requests)
        return figures(await alternate_blocks(blocks(opened, driver, http, texts), plan))


def main() -> None:
    """Run the benchmark and print its table."""
    given = arguments.read("ray_serve", __doc__, rounds=5, requests=300)
    python = environments.ensure("ray", *requirements())
    facts = report.begin("ray_serve")
    keep_to_one_thread()
    found = uvloop.run(measure(given, python))
    notes = [
        "Three stages behind one more deployment that orders them, one replica each, access log off; "
        "ours is the deployment of `trimtab up` as it is. One request at a time."
    ]
    made = report.Report(
        benchmark="ray_serve", command=given.command, machine=facts, figures=found, notes=notes
    )
    report.show(made, given.json)


if __name__ == "__main__":
    main()
