"""One deployment from start to stop: lock, bus, workers, corpus, then wait until somebody wants it to end.

The order is the promise: nothing is announced before every worker said that it is ready and the corpus
can be searched, and nothing is taken away while a worker above it still finishes its requests.
"""

import asyncio
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trimtab.bus.ending import end
from trimtab.corpus.stdlib import COLLECTION
from trimtab.supervisor import filling, leftovers, lock, plan, state, vllm
from trimtab.supervisor.announcement import Announcement
from trimtab.supervisor.assembly import Assembly, assemble
from trimtab.supervisor.events import AnyEvent, Ingesting, Sink, Starting, Up
from trimtab.supervisor.home import Home
from trimtab.supervisor.options import UpOptions
from trimtab.supervisor.probe import BusProbe
from trimtab.supervisor.spec import Tier
from trimtab.supervisor.supervisor import Probe, StartFailed, Supervisor


@dataclass
class Deployment:
    """Brings one deployment up and takes it down again."""

    assembly: Assembly
    home: Home
    emit: Sink
    """Whoever watches."""
    supervisor: Supervisor = field(init=False)
    announcement: Announcement = field(init=False)
    _began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.announcement = Announcement(self.home.state, self.assembly.options)
        self.supervisor = Supervisor(self.assembly.specs, self.home.logs, self._tell)

    async def bring_up(self) -> None:
        """Start everything, ingest the corpus if it is missing, announce.

        Raises:
            StartFailed: says which part did not come up, why, and what to do.
        """
        options = self.assembly.options
        nats_url, http_url = plan.urls(options)
        await self._all_ready(nats_url)
        corpus = await filling.fill(options, self.home, nats_url, self._ingesting)
        self.announcement.ready = True
        self.announcement.write(self.supervisor.processes)
        took_s = time.monotonic() - self._began
        self._tell(Up(nats_url=nats_url, http_url=http_url, took_s=took_s, corpus=corpus))

    async def take_down(self) -> None:
        """Stop everything in order and remove the state file."""
        self.announcement.ready = False
        await self.supervisor.stop()
        self.announcement.remove()

    async def _all_ready(self, nats_url: str) -> None:
        timeout_s = self.assembly.options.timeout_s
        probe = BusProbe(nats_url, expected=self.assembly.workers)
        try:
            async with asyncio.timeout(timeout_s):
                await self._start(probe)
        except TimeoutError:
            waited = ", ".join(self.supervisor.not_ready())
            raise StartFailed(
                f"not ready after {timeout_s:.0f} s: {waited}",
                f"their logs are in {self.home.logs}; a slow machine may need --timeout",
            ) from None
        finally:
            await probe.close()

    async def _start(self, probe: BusProbe) -> None:
        steps: list[tuple[Sequence[Tier], Probe]] = [
            (("bus",), probe.bus),
            (("engine",), self._engine_ready),
            (("worker", "edge"), probe.workers),
        ]
        for tiers, asked in steps:
            for tier in tiers:
                await self.supervisor.start(tier)
            await self.supervisor.wait_ready(tiers, asked, self._began)

    async def _engine_ready(self) -> dict[str, str]:
        return await vllm.ready(self.assembly.options.encoder_url)

    def _ingesting(self, done: int, total: int) -> None:
        self._tell(Ingesting(collection=COLLECTION, done=done, total=total))

    def _tell(self, event: AnyEvent) -> None:
        if isinstance(event, Starting):
            self.announcement.write(self.supervisor.processes)
        self.emit(event)


async def run(options: UpOptions, emit: Sink) -> None:
    """Bring a deployment up and keep it until SIGINT or SIGTERM; a second signal kills at once.

    Raises:
        StartFailed: it did not come up; what was started is stopped again.
        lock.AlreadyRunning: another supervisor holds the home.
    """
    home = Home(Path(options.home))
    try:
        home.prepare()
    except OSError as error:
        raise StartFailed(
            f"{home.root} cannot be written: {error.strerror}", "name another folder: TRIMTAB_HOME"
        ) from error
    with lock.held(home.lock):
        stale = state.read(home.state)
        if stale is not None:
            await leftovers.end(stale)
        await _until_stopped(Deployment(assemble(options, home), home, emit))


async def _until_stopped(deployment: Deployment) -> None:
    stopping = asyncio.Event()

    def signalled() -> None:
        if stopping.is_set():
            deployment.supervisor.kill()
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, signalled)
    rising = asyncio.create_task(deployment.bring_up())
    wanted = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait([rising, wanted], return_when=asyncio.FIRST_COMPLETED)
        if rising.done():
            rising.result()
        await wanted
    finally:
        await end(rising, wanted)
        await deployment.take_down()
