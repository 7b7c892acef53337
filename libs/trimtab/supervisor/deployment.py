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
from typing import Literal

import msgspec
import nats.errors
import nats.js.errors
from nats.js.api import AckPolicy, ConsumerConfig

from trimtab.client import Client
from trimtab.contracts.errors import BusUnavailable, TrimtabError
from trimtab.contracts.subjects import DOCS_STREAM, documents_of
from trimtab.corpus.stdlib import COLLECTION
from trimtab.supervisor import leftovers, lock, nats_server, plan, ports, shipped, state
from trimtab.supervisor.events import AnyEvent, Ingesting, Sink, Starting, Up
from trimtab.supervisor.home import Home
from trimtab.supervisor.options import UpOptions
from trimtab.supervisor.probe import BusProbe
from trimtab.supervisor.processid import ProcessId
from trimtab.supervisor.spec import Tier
from trimtab.supervisor.state import Running, UpState
from trimtab.supervisor.supervisor import StartFailed, Supervisor

_SEARCHABLE_TIMEOUT_S = 120.0

CorpusState = Literal["ingested", "present", "none"]


def with_ports(options: UpOptions) -> UpOptions:
    """Return the options with free ports in place of 0.

    Raises:
        StartFailed: a chosen port is taken; says by whom where that can be seen.
    """
    return msgspec.structs.replace(
        options,
        nats_port=_port(options.nats_port, "NATS", "--nats-port"),
        http_port=_port(options.http_port, "the HTTP gateway", "--http-port"),
    )


def _port(port: int, what: str, option: str) -> int:
    if port == 0:
        return ports.free_port()
    if not ports.is_free(port):
        by = ports.holder(port) or "another process"
        raise StartFailed(
            f"port {port} for {what} is taken by {by}",
            f"stop that one, or choose another port ({option} 0 takes a free one)",
        )
    return port


@dataclass
class Deployment:
    """Brings one deployment up and takes it down again."""

    options: UpOptions
    """With decided ports."""
    home: Home
    emit: Sink
    """Whoever watches."""
    supervisor: Supervisor = field(init=False)
    _began: float = field(default_factory=time.monotonic)
    _since: float = field(default_factory=time.time)
    _ready: bool = False

    def __post_init__(self) -> None:
        try:
            bus = nats_server.spec(self.home, self.options.nats_port)
        except (BusUnavailable, ValueError) as error:
            raise StartFailed(str(error), "run `trimtab doctor`") from error
        services = plan.services(self.options, self.home)
        self.supervisor = Supervisor([bus, *services], self.home.logs, self._tell)

    async def bring_up(self) -> None:
        """Start everything, ingest the corpus if it is missing, announce.

        Raises:
            StartFailed: says which part did not come up, why, and what to do.
        """
        nats_url, http_url = plan.urls(self.options)
        probe = BusProbe(nats_url, expected=len(self.supervisor.specs) - 1)
        try:
            async with asyncio.timeout(self.options.timeout_s):
                await self._start(probe)
        except TimeoutError:
            waited = ", ".join(self.supervisor.not_ready())
            raise StartFailed(
                f"not ready after {self.options.timeout_s:.0f} s: {waited}",
                f"their logs are in {self.home.logs}; a slow machine may need --timeout",
            ) from None
        finally:
            await probe.close()
        corpus = await self._fill(nats_url)
        self._ready = True
        self._save()
        took_s = time.monotonic() - self._began
        self._tell(Up(nats_url=nats_url, http_url=http_url, took_s=took_s, corpus=corpus))

    async def take_down(self) -> None:
        """Stop everything in order and remove the state file."""
        self._ready = False
        await self.supervisor.stop()
        self.home.state.unlink(missing_ok=True)

    async def _start(self, probe: BusProbe) -> None:
        bus: Sequence[Tier] = ("bus",)
        others: Sequence[Tier] = ("worker", "edge")
        await self.supervisor.start("bus")
        await self.supervisor.wait_ready(bus, probe.bus, self._began)
        for tier in others:
            await self.supervisor.start(tier)
        await self.supervisor.wait_ready(others, probe.workers, self._began)

    async def _fill(self, nats_url: str) -> CorpusState:
        if self.options.corpus == "none":
            return "none"
        marker, modules = self.home.corpus_marker, self.options.corpus_modules
        try:
            async with Client.connect(nats_url, name="supervisor") as client:
                stored = await _passages(client, COLLECTION)
                if shipped.is_whole(marker, modules, stored):
                    return "present"
                report = await shipped.ingest(client, marker, modules, self._ingesting)
                await client.wait_searchable(report.sequence, timeout_s=_SEARCHABLE_TIMEOUT_S)
        except (TrimtabError, shipped.CorpusRefused, ValueError) as error:
            raise StartFailed(
                f"the shipped corpus could not be ingested: {error}",
                f"see the logs in {self.home.logs}, or start without it: --corpus none",
            ) from error
        return "ingested"

    def _ingesting(self, done: int, total: int) -> None:
        self._tell(Ingesting(collection=COLLECTION, done=done, total=total))

    def _tell(self, event: AnyEvent) -> None:
        if isinstance(event, Starting):
            self._save()
        self.emit(event)

    def _save(self) -> None:
        nats_url, http_url = plan.urls(self.options)
        state.write(
            self.home.state,
            UpState(
                supervisor=ProcessId.mine(),
                home=str(self.home.root),
                nats_url=nats_url,
                http_url=http_url,
                since=self._since,
                ready=self._ready,
                processes=[
                    Running(
                        name=process.spec.name,
                        process=process.identity,
                        log=str(process.log),
                        restarts=process.restarts,
                    )
                    for process in self.supervisor.processes
                    if process.identity is not None
                ],
            ),
        )


async def _passages(client: Client, collection: str) -> int:
    """Return how many passages of a collection the stream holds: what a new reader would have to read."""
    js = client.connection.jetstream(timeout=10)
    reader = ConsumerConfig(
        filter_subject=documents_of(collection), ack_policy=AckPolicy.NONE, inactive_threshold=5.0
    )
    try:
        info = await js.add_consumer(DOCS_STREAM, reader)
        await js.delete_consumer(DOCS_STREAM, info.name)
    except nats.js.errors.NotFoundError:
        return 0
    except (nats.js.errors.Error, nats.errors.Error):
        raise BusUnavailable from None
    return info.num_pending or 0


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
            f"{home.root} cannot be written: {error.strerror}",
            "name another folder in TRIMTAB_HOME",
        ) from error
    with lock.held(home.lock):
        stale = state.read(home.state)
        if stale is not None:
            await leftovers.end(stale)
        deployment = Deployment(with_ports(options), home, emit)
        await _until_stopped(deployment)


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
        rising.cancel()
        wanted.cancel()
        await asyncio.gather(rising, wanted, return_exceptions=True)
        await deployment.take_down()
