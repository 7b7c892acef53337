"""From nothing to the first answer, and again from what is on disk: ``python -m benchmarks.cold_start``.

Runs the installed `trimtab` as a user does. The home it fills with the whole corpus is kept for the
other benchmarks.
"""

import asyncio
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks import arguments, fleet, report
from benchmarks.figure import Figure, over_rounds
from benchmarks.machine import resident_bytes
from benchmarks.processes import checked
from trimtab.client import Client
from trimtab.supervisor.events import Ingesting, Ready, Up, from_line

QUESTION, ANSWER = "copy a whole directory tree", "shutil.copytree"
_TRIMTAB = str(Path(sys.executable).parent / "trimtab")
_MIB = 2**20


class WrongAnswer(RuntimeError):
    """The deployment answers, but not what it should."""


class Process(msgspec.Struct):
    """One process of the deployment."""

    name: str
    pid: int


class Announced(msgspec.Struct):
    """What `trimtab up --detach --json` prints, as far as it is needed here."""

    nats_url: str
    processes: list[Process]


@dataclass(frozen=True, slots=True)
class Start:
    """One start of the installed deployment."""

    answer_s: float
    """From the command to the first answer of a search."""
    ready_s: float
    """From the supervisor's start until every service was ready."""
    ingest_s: float
    """After that until the corpus could be searched."""
    passages: int
    """Ingested; 0 when they were there."""
    rss: dict[str, int]
    """Resident bytes of every process after the answer."""


def start(home: Path, modules: tuple[str, ...]) -> Start:
    """Start, search once, look at the workers, stop."""
    environment = {"TRIMTAB_HOME": str(home)}
    options = ["--nats-port", "0", "--http-port", "0", "--timeout", "600"]
    if modules:
        options += ["--corpus-modules", ",".join(modules)]
    log = home / "logs" / "supervisor.log"
    log.unlink(missing_ok=True)
    began = time.monotonic()
    try:
        printed = checked(_TRIMTAB, "up", "--detach", "--json", *options, environment=environment)
        announced = msgspec.json.decode(printed, type=Announced)
        asyncio.run(_first_answer(announced.nats_url))
        answer_s = time.monotonic() - began
        rss = {process.name: resident_bytes(process.pid) for process in announced.processes}
    finally:
        checked(_TRIMTAB, "down", environment=environment)
    ready_s, up_s, passages = _timeline(log)
    return Start(answer_s, ready_s, up_s - ready_s, passages, rss)


async def _first_answer(nats_url: str) -> None:
    async with Client.connect(nats_url, name="bench") as client:
        reply = await client.search(QUESTION, timeout_s=30)
    if reply.results[0].id != ANSWER:
        raise WrongAnswer(f"{QUESTION!r} found {reply.results[0].id}, not {ANSWER}")


def _timeline(log: Path) -> tuple[float, float, int]:
    """Return seconds until all were ready, seconds until the end, and the passages ingested."""
    events = [from_line(line) for line in log.read_bytes().splitlines()]
    ready_s = max(event.after_s for event in events if isinstance(event, Ready))
    (up,) = (event for event in events if isinstance(event, Up))
    passages = max((event.total for event in events if isinstance(event, Ingesting)), default=0)
    return ready_s, up.took_s, passages


def figures(cold: Start, warm: list[Start]) -> list[Figure]:
    """Return the table's lines."""

    def once(name: str, unit: str, value: float) -> Figure:
        return over_rounds(name, unit, [value], n=1)

    def each(name: str, values: list[float]) -> Figure:
        return over_rounds(name, "s", values, n=len(values))

    memory = [
        over_rounds(
            f"resident memory, {name}",
            "MiB",
            [one.rss[name] / _MIB for one in warm],
            n=len(warm),
        )
        for name in warm[0].rss
    ]
    return [
        once("cold home: command to first answer, corpus ingested", "s", cold.answer_s),
        once("cold home: every service ready", "s", cold.ready_s),
        once("corpus: passages", "passages", cold.passages),
        once("corpus: ingest rate", "passages/s", cold.passages / cold.ingest_s),
        each("warm home: command to first answer", [one.answer_s for one in warm]),
        each("warm home: every service ready", [one.ready_s for one in warm]),
        *memory,
        over_rounds(
            "resident memory, all processes",
            "MiB",
            [sum(one.rss.values()) / _MIB for one in warm],
            n=len(warm),
        ),
    ]


def measure(given: arguments.Arguments) -> list[Figure]:
    """Start once from nothing and some times from what is on disk."""
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) / "home" if given.quick else fleet.HOME
        shutil.rmtree(home, ignore_errors=True)
        modules = fleet.QUICK_MODULES if given.quick else ()
        cold = start(home, modules)
        return figures(cold, [start(home, modules) for _ in range(given.rounds)])


def main() -> None:
    """Run the benchmark and print its table."""
    given = arguments.read("cold_start", __doc__, rounds=3, requests=1)
    facts = report.begin("cold_start")
    found = measure(given)
    notes = [
        "The ingest rate counts from the moment when every service is ready until every passage can be "
        "searched: reading the docstrings, encoding, writing with fsync, indexing."
    ]
    made = report.Report(
        benchmark="cold_start", command=given.command, machine=facts, figures=found, notes=notes
    )
    report.show(made, given.json)


if __name__ == "__main__":
    main()
