"""One engine of the search comparison as a process: its index built once, then asked over its stdin."""

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks import environments
from benchmarks.engines.roster import ROSTER
from benchmarks.machine import resident_bytes
from benchmarks.processes import ChildFailed, child, tail
from benchmarks.rounds import Blocks, Timings
from benchmarks.search_sample import Sample
from benchmarks.search_tuning import KEPT, Tuned, recall, tune

MOST_QUERIES, LEAST_QUERIES = 500, 25
"""Of one half, for a peer that takes so long that all of them would take minutes."""

_BUILT = "built.json"
_ONE_PASS_MS = 10_000.0
_GRACE_S = 30.0
_LIMITS = ("OMP", "OPENBLAS", "MKL", "RAYON", "LANCE_CPU")


class Built(msgspec.Struct, frozen=True):
    """How an index came to be."""

    build_s: float
    """Wall time, with every core."""


class Ready(msgspec.Struct, frozen=True):
    """What an engine says of its open index; see :class:`benchmarks.engines.engine.Engine`."""

    setup: str
    """Kind of index and the parameters of its build."""
    knob: str
    """What trades speed for recall."""
    least: int
    """Smallest value of the knob."""
    most: int
    """Largest value of the knob."""


class _Found(msgspec.Struct, frozen=True):
    ids: list[list[int]]


class _Taken(msgspec.Struct, frozen=True):
    latencies_ms: list[float]
    elapsed_s: float


@dataclass
class Contender:
    """An engine with its index open."""

    name: str
    """As in the roster."""
    threads: int
    """That it may use, and as many cores."""
    sample: Sample
    """What it is asked."""
    process: "subprocess.Popen[bytes]"
    """Its own."""
    log: Path
    """What it says on stderr."""
    ready: Ready
    """What it said of itself."""
    effort: int = 0
    """The knob while it is measured."""
    queries: int = MOST_QUERIES
    """Of each half, as many as it answers in reasonable time."""

    async def tune(self, wanted: float) -> Tuned:
        """Find the smallest knob that finds as much as ``wanted`` on the tuning queries, and keep to it."""
        numbers = self.sample.tuning[: self.queries]

        def recall_of(effort: int) -> float:
            return self._recall(numbers, effort)

        tuned = await asyncio.to_thread(tune, recall_of, self.ready.least, self.ready.most, wanted)
        self.effort = tuned.effort
        return tuned

    async def recall(self, numbers: list[int]) -> float:
        """Return recall@10 on some queries with the knob as it is."""
        return await asyncio.to_thread(self._recall, numbers[: self.queries], self.effort)

    async def pace(self) -> float:
        """Return its median latency in ms, and ask it fewer queries from now on when that is long."""
        tried = Timings()
        await self.at(self.effort or self.ready.least)(tried, 20, 1)
        self.queries = max(LEAST_QUERIES, min(MOST_QUERIES, int(_ONE_PASS_MS / tried.p50_ms)))
        return tried.p50_ms

    def at(self, effort: int) -> Blocks:
        """Return what measures it with a value of the knob: one query after another, in its own process."""
        numbers = itertools.cycle(self.sample.measured)

        async def block(into: Timings, requests: int, concurrency: int) -> None:
            asked = [next(numbers) for _ in range(requests)]
            command = {"measure": asked, "effort": effort}
            taken = msgspec.convert(await asyncio.to_thread(self._ask, command), _Taken)
            into.latencies_ms += taken.latencies_ms
            into.elapsed_s += taken.elapsed_s

        return block

    def resident_mib(self) -> float:
        """Return the resident memory of its process and of those that it started."""
        return sum(resident_bytes(pid) for pid in _family(self.process.pid)) / 2**20

    def _recall(self, numbers: list[int], effort: int) -> float:
        command = {"find": numbers, "effort": effort, "keep": KEPT}
        found = msgspec.convert(self._ask(command), _Found)
        return recall(found.ids, self.sample.truth_of(numbers))

    def _ask(self, command: dict[str, object]) -> object:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(command).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise ChildFailed(f"{self.name} ended\n{tail(self.log)}") from None
        return _answer(self.process, self.log)


def python_of(name: str) -> Path:
    """Return the interpreter that holds an engine, installing its environment the first time.

    Raises:
        ChildFailed: pip failed.
    """
    wanted = ROSTER[name].requirements
    return environments.ensure(f"search-{name}", *wanted) if wanted else Path(sys.executable)


async def build(name: str, sample: Sample, folder: Path, timeout_s: float) -> Built:
    """Build an engine's index below ``folder``, unless an earlier run has.

    Raises:
        ChildFailed: it could not be built, or not in time.
    """
    said = folder / _BUILT
    if said.exists():
        return msgspec.json.decode(said.read_bytes(), type=Built)
    await asyncio.to_thread(emptied, folder)
    command = ("-m", "benchmarks.engines", "build", name, str(sample.vectors), str(folder))
    log = folder / "build.log"
    with child(log, *command, python=python_of(name), environment=_environment(None)) as process:
        await asyncio.to_thread(_wait, process, time.monotonic() + timeout_s)
        if process.returncode:
            raise ChildFailed(f"not built within {timeout_s:.0f} s, or failed\n{tail(log)}")
    built = msgspec.json.decode(_last_answer(log), type=Built)
    said.write_bytes(msgspec.json.encode(built))
    return built


@contextlib.asynccontextmanager
async def opened(
    name: str, sample: Sample, folder: Path, threads: int, limit: int
) -> AsyncIterator[Contender]:
    """Open a built index with that many threads and cores, until the block ends.

    Raises:
        ChildFailed: its process ended.
    """
    log = folder / "serve.log"
    command = ("-m", "benchmarks.engines", "serve", name, str(folder), str(sample.queries))
    with child(
        log,
        *command,
        str(threads),
        str(limit),
        python=python_of(name),
        environment=_environment(threads),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            ready = msgspec.convert(await asyncio.to_thread(_answer, process, log), Ready)
            yield Contender(name, threads, sample, process, log, ready)
        finally:
            await asyncio.to_thread(_end, process)


def _environment(threads: int | None) -> dict[str, str]:
    """Return the variables that keep the engines' thread pools to so many threads; None: every core."""
    count = len(os.sched_getaffinity(0)) if threads is None else threads
    return {f"{name}_NUM_THREADS": str(count) for name in _LIMITS} | {
        "RUST_LOG": "error",
        "LANCE_CPU_THREADS": str(count),
        "TOKIO_WORKER_THREADS": str(count),
    }


def emptied(folder: Path) -> None:
    """Make a folder, without what a build that was interrupted left in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Let it end by itself, so that an engine closes its files."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
    _wait(process, time.monotonic() + _GRACE_S)


def _wait(process: "subprocess.Popen[bytes]", until: float) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(max(0.0, until - time.monotonic()))


def _answer(process: "subprocess.Popen[bytes]", log: Path) -> object:
    """Return the next answer; lines without the mark are the engine's own."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(b"@"):
            return json.loads(line[1:])
    raise ChildFailed(f"the engine ended\n{tail(log)}")


def _last_answer(log: Path) -> str:
    return next(line[1:] for line in reversed(log.read_text().splitlines()) if line[:1] == "@")


def _family(pid: int) -> Sequence[int]:
    """Return a process and its descendants."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for each in (task / "children").read_text().split():
            found += _family(int(each))
    return found
