"""The life of a worker: connect, load, listen, ready; then drain and stop, losing nothing.

A service's ``app.py`` builds a :class:`Worker`, adds endpoints in its ``load`` and nothing else;
everything that workers do alike is here.
"""

import asyncio
import contextlib
import functools
import os
import secrets
import signal
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import nats
import nats.errors
import uvloop
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg
from nats.errors import NoServersError

from trimtab.bus.admission import Admission
from trimtab.bus.caller import Caller
from trimtab.bus.connection import Link, options, settle
from trimtab.bus.discovery import Discovery
from trimtab.bus.ending import close, end
from trimtab.bus.server import Endpoint, Server
from trimtab.contracts import subjects
from trimtab.contracts.component import Stage
from trimtab.contracts.errors import Disabled, TrimtabError
from trimtab.contracts.headers import RequestContext
from trimtab.contracts.message import encode
from trimtab.contracts.samples import Readiness
from trimtab.control.effective import Controls, banned_releases, effective
from trimtab.control.feed import ControlFeed
from trimtab.telemetry import logs, traces
from trimtab.telemetry.metrics import BUILD_INFO, COMPONENT_INFO, READY
from trimtab.worker.http import HealthServer
from trimtab.worker.loading import Loading
from trimtab.worker.sampler import Identity, Sampler
from trimtab.worker.settings import DeploymentSettings, WorkerSettings
from trimtab.worker.unloading import KEEP_S, Unloading

SAMPLE_INTERVAL_S = 1.0
"""One sample a second, however many requests."""

UNLOAD_LOOK_S = 1.0
"""How often a worker looks whether a component is spare."""

_READY_VALUE = {Readiness.READY: 1.0, Readiness.DEGRADED: 0.5}


def code_version() -> str:
    """Return the installed version; ``0.0.0`` when run from a folder that was not installed."""
    try:
        return version("trimtab")
    except PackageNotFoundError:
        return "0.0.0"


Hook = Callable[["Worker"], Awaitable[None]]
LoadComponent = Callable[["Worker", str], Awaitable[None]]


@dataclass
class Worker:
    """One process of one service."""

    service: str
    """Folder name, queue group, metric label, ``service.name``."""
    description: str
    """One line for ``$SRV.INFO``."""
    deployment: DeploymentSettings
    """Shared by all processes."""
    settings: WorkerSettings
    """The service's own."""
    load: Hook
    """Awaited once connected: loads components, adds endpoints with :meth:`serve`."""
    unload: Hook | None = None
    """Awaited after the drain: closes what ``load`` opened."""
    stage: Stage | None = None
    """Which component of a release this worker serves; None: none, as the gateway."""
    load_component: LoadComponent | None = None
    """Awaited for a component of a release that is not loaded yet: loads it, adds its endpoints."""
    unload_component: LoadComponent | None = None
    """Awaited once a component of no release any more has no endpoints: frees what its load took."""
    keep_s: float = KEEP_S
    """Seconds that a component stays loaded although no release names it."""
    server: Server = field(init=False)
    sampler: Sampler = field(init=False)
    link: Link = field(init=False)
    log: logs.Logger = field(init=False)
    controls: ControlFeed = field(init=False)
    _loaded: bool = False
    _own: frozenset[str] = frozenset()
    _prepared: Controls | None = None
    _changing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _freeing: "asyncio.Task[None] | None" = None
    _opened: bool = False
    _once_open: tuple[Readiness, str] = (Readiness.READY, "")
    _stop: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        instance = self.settings.instance or f"{self.service}-{secrets.token_hex(3)}"
        self.link = Link(self.service)
        self.log = logs.get(self.service, instance)
        identity = Identity(self.service, instance, code_version(), time.time())
        self.sampler = Sampler(identity)
        self.server = Server(
            self.service,
            instance,
            Admission(self.service, self.settings.max_in_flight),
            self.sampler,
            self.log,
            self._gate,
        )
        remembered = self.deployment.home / "control" / f"{instance}.msgpack"
        self.controls = ControlFeed(
            self.service,
            instance,
            self.log,
            remembered,
            self._prepare,
            lease_s=self.deployment.canary_lease_s,
        )

    @property
    def identity(self) -> Identity:
        """Who this worker is and how it feels."""
        return self.sampler.identity

    @property
    def connection(self) -> NatsClient:
        """The NATS connection; there once ``load`` runs."""
        return self.server.connection

    @property
    def caller(self) -> Caller:
        """For services that ask other services."""
        return Caller(self.connection)

    def serve(self, endpoint: Endpoint) -> None:
        """Add an endpoint; call it in ``load``."""
        self.server.add(endpoint)

    def loaded(self, component: str, content_hash: str) -> None:
        """Say that a component version is loaded and verified."""
        self.identity.components[component] = content_hash
        COMPONENT_INFO.labels(self.service, component, content_hash[:12]).set(1)

    def unloaded(self, component: str) -> None:
        """Say that a component version is loaded no longer."""
        content_hash = self.identity.components.pop(component, "")
        with contextlib.suppress(KeyError):  # nobody ever said that it was loaded
            COMPONENT_INFO.remove(self.service, component, content_hash[:12])

    def feel(self, readiness: Readiness, reason: str = "") -> None:
        """Change the readiness, with the reason when it is not simply ready."""
        if not self._opened and readiness in _READY_VALUE:
            self._once_open = (readiness, reason)  # nobody can be asked yet
            return
        if (readiness, reason) != (self.identity.readiness, self.identity.reason):
            self.log.info("readiness", readiness=readiness.value, reason=reason)
        self.identity.readiness, self.identity.reason = readiness, reason
        READY.labels(self.service, self.identity.instance).set(_READY_VALUE.get(readiness, 0.0))

    def request_stop(self) -> None:
        """Begin an orderly stop; safe to call twice."""
        self._stop.set()

    async def run(self) -> None:
        """Live until :meth:`request_stop`, a signal, or a connection that is gone for good."""
        BUILD_INFO.labels(self.service, self.identity.version).set(1)
        health = HealthServer(self.identity, self.settings.http_host, self.settings.http_port)
        self.identity.facts["http_port"] = health.start()
        try:
            await self._connect()
            # Before anything is served: a late joiner obeys a kill from its first reply on.
            await self.controls.start(self.connection)
            self.link.on_reconnect.append(self._reread_controls)
            await self.load(self)
            self._own = frozenset(self.identity.components) | self.server.components
            await self._load_releases()
            await self._open()
            forever = (self._sample_forever(), self._unload_forever())
            tasks = [asyncio.create_task(each) for each in forever]
            await self._until_stopped()
            await self._close(tasks)
        finally:
            health.stop()

    async def _reread_controls(self) -> None:
        await self.controls.refresh()

    async def _load_releases(self) -> None:
        self._loaded = True
        if self.controls.current is not None:
            try:
                await self._prepare(self.controls.current)
            except TrimtabError as error:
                self.feel(Readiness.DEGRADED, error.detail)

    async def _prepare(self, controls: Controls) -> None:
        """Load what the releases that may serve need, while traffic flows; a failure is a NACK."""
        loading = self._loading
        if not self._loaded or loading is None:
            return
        async with self._changing:
            self._prepared = controls
            try:
                came = await loading.follow(controls)
            finally:
                # Whatever came: one may have come before another failed, or be wanted again that was leaving.
                await self.server.open()
        if came and self._opened:
            # Before the acknowledgement: who ramps as soon as all obey must not be told that
            # nobody has loaded it.
            await self._try_to_publish_sample()

    @property
    def _loading(self) -> Loading | None:
        if self.stage is None or self.load_component is None:
            return None
        load = functools.partial(self._load_one, self.load_component)
        return Loading(self.stage, load, self.identity.components, self.log)

    async def _load_one(self, load: LoadComponent, component: str) -> None:
        if self._freeing is not None:  # or it might be freed what is loaded now
            await asyncio.wait([self._freeing])
        await load(self, component)

    async def _unload_forever(self) -> None:
        if self.stage is None or self.load_component is None:
            return
        unloading = Unloading(self.stage, self._own, self.keep_s)
        while True:
            await asyncio.sleep(UNLOAD_LOOK_S)
            try:
                await self._unload_spare(unloading)
            except Exception:  # this loop must not end: memory would never be freed again
                self.log.exception("unloading_failed")

    async def _unload_spare(self, unloading: Unloading) -> None:
        """Let go of what no release names.

        Who prepares for new controls waits neither for the last answers nor for what is freed; a component
        that they name again before it is forgotten stays.
        """
        async with self._changing:
            leaving = self._spare(unloading)
            for component in leaving:
                await self.server.leave(component)
        for component in leaving:
            if not await self._answered(component):
                continue
            async with self._changing:
                if component not in self._spare(unloading) or not self.server.forget(component):
                    continue
                self.unloaded(component)
                self._freeing = asyncio.create_task(self._free(component))
            await self._freeing

    def _spare(self, unloading: Unloading) -> list[str]:
        """Return what no release names; what is in force counts, and what is being prepared."""
        if self.controls.current is None or not self.connection.is_connected:
            return []
        known = [each for each in (self.controls.current, self._prepared) if each is not None]
        return unloading.due(self.identity.components, known, time.monotonic())

    async def _answered(self, component: str) -> bool:
        try:
            # A request that hangs must not keep the components after it loaded.
            async with asyncio.timeout(self.settings.drain_timeout_s):
                await self.server.answered(component)
        except TimeoutError:
            self.log.warning("component_in_use", component=component)
            return False
        return True

    async def _free(self, component: str) -> None:
        if self.unload_component is not None:
            await self.unload_component(self, component)
        self.log.info("component_unloaded", component=component)
        await self._try_to_publish_sample()

    async def _gate(self, context: RequestContext) -> None:
        """Refuse what an operator switched off, whatever the caller's state of knowledge."""
        await self.controls.awake()
        controls = self.controls.current
        if controls is None or not controls.lane.kills:
            return
        now = time.time()
        if not effective(controls, now=now, tenant=context.tenant).open:
            raise Disabled("the pipeline")
        if context.release and context.release in banned_releases(controls, now):
            raise Disabled(f"release {context.release}")

    async def _connect(self) -> None:
        chosen = options(self.link, nkey_seed=self.deployment.nats_nkey_seed)
        connected = False
        while not connected:
            try:
                self.server.use(await nats.connect(servers=[self.deployment.nats_url], **chosen))
                connected = True
            except (OSError, NoServersError):
                self.log.warning("waiting_for_nats", url=self.deployment.nats_url)
                await asyncio.sleep(0.5)

    async def _open(self) -> None:
        await self.server.open()
        await self.connection.subscribe(subjects.HEALTH, cb=self._health)
        discovery = Discovery(
            self.service,
            self.identity.instance,
            _semver(self.identity.version),
            self.description,
            self._metadata,
            self.server.stats,
        )
        await discovery.start(self.connection)
        await settle(self.connection)
        self._opened = True
        self.feel(*self._once_open)
        await self._publish_sample()

    async def _until_stopped(self) -> None:
        if threading.current_thread() is threading.main_thread():  # signals come to no other one
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, self.request_stop)
        waits: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._stop.wait()),
            asyncio.create_task(self.link.closed.wait()),
        ]
        if self.deployment.parent_pid:
            waits.append(asyncio.create_task(self._parent_gone(self.deployment.parent_pid)))
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in waits:
            task.cancel()

    async def _close(self, tasks: "list[asyncio.Task[None]]") -> None:
        self.feel(Readiness.DRAINING, "stopping")
        await end(*tasks)
        try:
            async with asyncio.timeout(self.settings.drain_timeout_s):
                await self.server.drain()
        except TimeoutError:
            self.log.warning("drain_timed_out", count=self.server.admission.in_flight)
        if self.unload is not None:
            await self.unload(self)
        await self.controls.stop()
        # Both need a server; without one nothing is left to hand over.
        with contextlib.suppress(nats.errors.Error, OSError):
            await self._publish_sample()
            await self.connection.flush()
        await close(self.connection)

    async def _sample_forever(self) -> None:
        while True:
            await asyncio.sleep(SAMPLE_INTERVAL_S)
            if self.link.forbidden:
                self.feel(Readiness.DEGRADED, "NATS refused a permission; see deploy/nats")
            await self._try_to_publish_sample()

    async def _try_to_publish_sample(self) -> None:
        if self.connection.is_connected:
            # A connection may go between the question and the write; the next second brings another.
            with contextlib.suppress(nats.errors.Error, OSError):
                await self._publish_sample()

    async def _publish_sample(self) -> None:
        self._note_controls()
        sample = self.sampler.take(self.server.admission.in_flight)
        await self.connection.publish(
            subjects.sample(self.service, self.identity.instance), encode(sample)
        )

    async def _health(self, message: Msg) -> None:
        if message.reply.startswith(subjects.INBOX_PREFIX):
            self._note_controls()
            sample = self.sampler.peek(self.server.admission.in_flight)
            await self.connection.publish(message.reply, encode(sample))

    def _note_controls(self) -> None:
        self.identity.revision = self.controls.revision
        self.identity.effective_hash = self.controls.hash
        self.identity.stale = self.controls.stale

    def _metadata(self) -> dict[str, str]:
        return {"readiness": self.identity.readiness.value, **self.identity.components}

    async def _parent_gone(self, parent: int) -> None:
        while os.getppid() == parent:  # noqa: ASYNC110 - the kernel sends no event for it
            await asyncio.sleep(0.5)


def _semver(text: str) -> str:
    numbers = [part for part in text.split(".") if part.isdigit()]
    return ".".join([*numbers, "0", "0", "0"][:3])


def run(worker: Callable[[], Worker]) -> None:
    """Run a worker in this process: the body of every ``__main__``."""

    async def main() -> None:
        built = worker()
        logs.configure(built.deployment.log_level)
        logs.adopt(built.log)
        traces.configure(built.deployment.otlp_service or built.service, built.identity.version)
        await built.run()

    uvloop.run(main())
