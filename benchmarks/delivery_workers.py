"""N worker processes of ``delivery``, forked from one that has imported everything.

``python -m benchmarks.delivery_workers URL HOME SLOTS COUNT``; each is a Worker as every service runs it, without
a model: control feed, samples, health endpoint and one echo. Lines on stdin: ``fork FIRST COUNT``, ``end FIRST COUNT``.
"""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.delivery_slots import Slots
from trimtab.bus.server import Endpoint
from trimtab.contracts import subjects
from trimtab.contracts.headers import RequestContext
from trimtab.contracts.samples import HealthRequest
from trimtab.control.applying import View
from trimtab.control.feed import ControlFeed
from trimtab.worker.service import Worker, run
from trimtab.worker.settings import DeploymentSettings, WorkerSettings

SERVICE = "bench"


@dataclass
class NotedFeed(ControlFeed):
    """A worker's feed that tells when it has swapped, before anything else is done about it."""

    note: Callable[[int], None] = lambda _: None
    """Called with the revision in force."""

    def __setattr__(self, name: str, value: object) -> None:
        before = self.__dict__.get("_view")
        super().__setattr__(name, value)
        if isinstance(value, View) and before is not None and value.revision != before.revision:
            self.note(value.revision)


def instance(index: int) -> str:
    """Return the name of a worker."""
    return f"{SERVICE}-{index}"


async def echo(request: HealthRequest, _: RequestContext) -> HealthRequest:
    """Return what came."""
    return request


def worker(url: str, home: Path, slots: Slots, index: int) -> Worker:
    """Return a worker that notes in its slot what it obeys."""

    async def load(built: Worker) -> None:
        built.serve(Endpoint("encode", subjects.encode("bench@1"), HealthRequest, echo, "bench@1"))

    deployment = DeploymentSettings(nats_url=url, home=home, parent_pid=os.getppid())
    settings = WorkerSettings(instance=instance(index))
    built = Worker(SERVICE, "echoes", deployment, settings, load)
    feed = built.controls
    built.controls = NotedFeed(
        feed.service,
        feed.instance,
        feed.log,
        feed.cache,
        feed.prepare,
        lease_s=feed.lease_s,
        note=lambda revision: slots.mark(index, revision),
    )
    return built


def serve(url: str, home: Path, slots: Slots, index: int) -> None:
    """Be a worker until terminated."""
    slots.begin(index)
    run(lambda: worker(url, home, slots, index))


def end(processes: list[int]) -> None:
    """End processes of ours in order."""
    for process in processes:
        os.kill(process, signal.SIGTERM)
    for process in processes:
        os.waitpid(process, 0)


def main() -> None:
    """Fork and end workers as told; none outlives this process."""
    url, home, path, count = sys.argv[1:5]
    slots, running = Slots.open(Path(path), int(count)), dict[int, int]()
    for line in sys.stdin:
        verb, first, number = line.split()
        asked = range(int(first), int(first) + int(number))
        if verb == "end":
            end([running.pop(index) for index in asked])
            continue
        for index in asked:
            child = os.fork()
            if child == 0:
                serve(url, Path(home), slots, index)
                os._exit(0)
            running[index] = child
    end(list(running.values()))


if __name__ == "__main__":
    main()
