"""The services that a benchmark needs, as real processes under the supervisor, in a home that is kept.

The corpus is ingested once per home; a later benchmark finds it there, like a second `trimtab up`.
"""

import contextlib
import dataclasses
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trimtab.supervisor import filling, lock
from trimtab.supervisor.assembly import assemble
from trimtab.supervisor.events import AnyEvent, Exited
from trimtab.supervisor.home import Home
from trimtab.supervisor.options import UpOptions
from trimtab.supervisor.plan import urls
from trimtab.supervisor.probe import BusProbe
from trimtab.supervisor.spec import ProcessSpec
from trimtab.supervisor.supervisor import Supervisor

HOME = Path(__file__).parents[1] / "var" / "bench" / "home"
"""Where the benchmarks keep their deployment; `make clean` leaves it, removing it is always safe."""

SEARCH = ("controller", "encoder", "retriever", "reranker", "gateway")
"""What a search needs."""

ENCODE = ("controller", "encoder", "gateway")
"""What an embedding needs."""

NO_CACHE = {"ENCODER_CACHE_ENTRIES": "0"}
"""For the encoder: every text is computed."""

QUICK_MODULES = ("collections", "json", "os.path", "shutil", "string", "threading")
"""A slice of the corpus, to see that a benchmark runs."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """A deployment that answers."""

    nats_url: str
    """Where its bus is."""
    http_url: str
    """Where its gateway is."""
    home: Path
    """Its state."""
    pids: dict[str, int]
    """Process by instance name."""


@contextlib.asynccontextmanager
async def running(
    services: Sequence[str],
    home: Path,
    *,
    corpus: bool = True,
    modules: tuple[str, ...] = (),
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Fleet]:
    """Run services until the block ends; enters once each is ready and the corpus can be searched.

    Raises:
        StartFailed: one of them does not come up; says why.
    """
    place = Home(home)
    place.prepare()
    with lock.held(place.lock):
        wanted = UpOptions(
            home=str(place.root),
            nats_port=0,
            http_port=0,
            corpus="stdlib" if corpus else "none",
            corpus_modules=modules,
        )
        assembly = assemble(wanted, place)
        specs = [
            dataclasses.replace(spec, environment={**spec.environment, **(environment or {})})
            for spec in assembly.specs
            if _wanted(spec, services)
        ]
        supervisor = Supervisor(specs, place.logs, _tell)
        nats_url, http_url = urls(assembly.options)
        try:
            await _start(supervisor, BusProbe(nats_url, expected=len(specs) - 1))
            await filling.fill(assembly.options, place, nats_url, _ingesting)
            yield Fleet(nats_url, http_url, place.root, _pids(supervisor))
        finally:
            await supervisor.stop()


def _wanted(spec: ProcessSpec, services: Sequence[str]) -> bool:
    return spec.tier == "bus" or spec.name.rpartition("-")[0] in services


async def _start(supervisor: Supervisor, probe: BusProbe) -> None:
    began = time.monotonic()
    try:
        await supervisor.start("bus")
        await supervisor.wait_ready(("bus",), probe.bus, began)
        for tier in ("worker", "edge"):
            await supervisor.start(tier)
        await supervisor.wait_ready(("worker", "edge"), probe.workers, began)
    finally:
        await probe.close()


def _pids(supervisor: Supervisor) -> dict[str, int]:
    return {p.spec.name: p.identity.pid for p in supervisor.processes if p.identity is not None}


def _tell(event: AnyEvent) -> None:
    if isinstance(event, Exited):
        print(f"{event.name} ended with {event.code}; see the home's logs", file=sys.stderr)


def _ingesting(done: int, total: int) -> None:
    print(f"\ringesting {done}/{total} ", end="\n" if done == total else "", file=sys.stderr)
