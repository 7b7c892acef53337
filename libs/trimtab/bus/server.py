"""Answering over NATS: every request gets a reply or a typed error, none is lost at a stop.

Nothing stands between the client's subscription and this module: admission, deadline, decoding and the
reply cost a request what they cost and no pipeline around them (docs/decisions/0009).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import nats.errors
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from trimtab.bus.admission import Admission
from trimtab.bus.caller import check_size
from trimtab.bus.connection import settle
from trimtab.bus.discovery import EndpointStats
from trimtab.contracts import headers as names
from trimtab.contracts.errors import (
    STATUS,
    BusUnavailable,
    ErrorReply,
    InternalError,
    RemoteError,
    TrimtabError,
)
from trimtab.contracts.headers import RequestContext
from trimtab.contracts.message import CONTENT_TYPE, Message, decode, encode
from trimtab.contracts.subjects import INBOX_PREFIX
from trimtab.telemetry.logs import Logger
from trimtab.telemetry.metrics import IN_FLIGHT, SHED
from trimtab.telemetry.traces import server_span
from trimtab.worker.sampler import Sampler

Handler = Callable[[Any, RequestContext], Awaitable[Message]]
Gate = Callable[[RequestContext], Awaitable[None]]
"""Raises for a request that an operator switched off."""


@dataclass(frozen=True)
class Endpoint:
    """One verb of a service, bound to the component version that answers it."""

    name: str
    """Verb: encode, retrieve, rerank, map, search."""
    subject: str
    """From ``contracts.subjects``."""
    request: type[Message]
    """Contract of the request."""
    handler: Handler
    """``async (request, context) -> reply``; raises TrimtabError for what the caller must know."""
    component: str = ""
    """Component version that answers; empty for the gateway's own verbs."""
    steered: bool = True
    """Whether switches hold for it; the operator's own verbs answer even when all is closed."""


@dataclass(eq=False)
class _Served:
    """One endpoint as it is served."""

    endpoint: Endpoint
    stats: EndpointStats
    subscription: Subscription | None = None
    leaving: bool = False
    """The server may know of the subscription no more: its draining began, and was cut off since."""
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


@dataclass
class Server:
    """The endpoints of one worker."""

    service: str
    """Service name: queue group and metric label."""
    instance: str
    """Unique per process."""
    admission: Admission
    """Shared by all endpoints of the worker."""
    sampler: Sampler
    """Learns every outcome."""
    log: Logger
    """Worker's logger."""
    gate: Gate
    """Asked before every steered request."""
    stats: list[EndpointStats] = field(default_factory=list)
    """For ``$SRV.STATS``."""
    _connection: NatsClient | None = None
    _served: list[_Served] = field(default_factory=list)
    _draining: bool = False

    def add(self, endpoint: Endpoint) -> None:
        """Register an endpoint; it takes requests once :meth:`open` ran."""
        stats = EndpointStats(endpoint.name, endpoint.subject, self.service)
        self.stats.append(stats)
        self._served.append(_Served(endpoint, stats))

    @property
    def components(self) -> set[str]:
        """Component versions that endpoints answer for."""
        return {served.endpoint.component for served in self._served}

    async def open(self) -> None:
        """Take requests on every endpoint that takes none yet; returns once the server knows of them.

        Opens nothing once :meth:`drain` began.
        """
        IN_FLIGHT.labels(self.service).set_function(lambda: self.admission.in_flight)
        opened = False
        for served in self._served:
            if served.leaving:
                await _let_go(served)
            if served.subscription is None and not self._draining:
                served.subscription = await self._subscribe(served)
                opened = True
        if opened:
            await settle(self.connection)

    def use(self, connection: NatsClient) -> None:
        """Answer over this connection."""
        self._connection = connection

    @property
    def connection(self) -> NatsClient:
        """What :meth:`use` was given.

        Raises:
            BusUnavailable: nothing yet.
        """
        if self._connection is None:
            raise BusUnavailable
        return self._connection

    async def drain(self) -> None:
        """Take nothing new, answer everything already delivered.

        The order loses nothing: unsubscribe, let the client hand over what it holds, wait for the answers.
        """
        self._draining = True
        if self.connection.is_connected:
            await asyncio.gather(*(_let_go(served) for served in self._served))
        await _answered(self._served)
        self.admission.draining = True
        if self.connection.is_connected:
            await self.connection.flush()

    async def leave(self, component: str) -> None:
        """Take nothing new for a component until :meth:`open`; what was delivered is answered.

        May be cut off, by an error or a cancellation, and called again.
        """
        for served in self._of(component):
            await _let_go(served)

    async def answered(self, component: str) -> None:
        """Wait until everything that was delivered for a component is answered."""
        await _answered(self._of(component))

    def forget(self, component: str) -> bool:
        """Forget the endpoints of a component; False while one takes requests or owes an answer."""
        leaving = self._of(component)
        if any(served.subscription is not None or served.tasks for served in leaving):
            return False
        self._served = [each for each in self._served if each not in leaving]
        self.stats[:] = [served.stats for served in self._served]
        return True

    def _of(self, component: str) -> list[_Served]:
        return [each for each in self._served if each.endpoint.component == component]

    async def _subscribe(self, served: _Served) -> Subscription:
        async def receive(message: Msg) -> None:
            await self._receive(served, message)

        subject = served.endpoint.subject
        return await self.connection.subscribe(subject, queue=self.service, cb=receive)

    async def _receive(self, served: _Served, message: Msg) -> None:
        endpoint, reply_to = served.endpoint, message.reply
        if not reply_to.startswith(INBOX_PREFIX):
            # Answering would publish with our permissions where the caller has none.
            SHED.labels(self.service, endpoint.name, "forbidden").inc()
            return
        try:
            self.admission.enter()
        except TrimtabError as refusal:
            SHED.labels(self.service, endpoint.name, refusal.code).inc()
            await self._reply_error(endpoint, reply_to, refusal.reply())
            return
        task = asyncio.create_task(self._answer(served, message, time.perf_counter_ns()))
        served.tasks.add(task)

    async def _answer(self, served: _Served, message: Msg, started: int) -> None:
        endpoint, outcome, release, role = served.endpoint, "ok", "", ""
        try:
            context = RequestContext.from_wire(message.headers)
            release, role = context.release, context.role
            self.admission.check_deadline(endpoint.name, context.remaining_ms())
            request = decode(endpoint.request, message.data)
            if endpoint.steered:
                await self.gate(context)
            with server_span(endpoint.name, self.service, context) as traced:
                reply = await endpoint.handler(request, traced)
            await self._reply(endpoint, message.reply, reply, started)
            self.admission.served(endpoint.name, (time.perf_counter_ns() - started) / 1e6)
        except TrimtabError as error:
            outcome = error.code.value
            if error.status >= 500:
                self.log.warning(
                    "request_failed", endpoint=endpoint.name, error=error.reply().error
                )
            relayed = isinstance(error, RemoteError)
            await self._reply_error(endpoint, message.reply, error.reply(), relayed=relayed)
        except Exception as error:
            outcome = InternalError.code.value
            self.log.exception(
                "request_crashed",
                endpoint=endpoint.name,
                error=type(error).__name__,
                request_id=(message.headers or {}).get(names.REQUEST, ""),
            )
            await self._reply_error(endpoint, message.reply, InternalError().reply())
        finally:
            self.admission.leave()
            # Not by a done callback: that costs each request one more turn of the loop.
            if (task := asyncio.current_task()) is not None:
                served.tasks.discard(task)
            took_ns = time.perf_counter_ns() - started
            self.sampler.observe(
                endpoint.name, endpoint.component, release, outcome, took_ns / 1e6, role
            )
            _account(served.stats, outcome, took_ns)

    async def _reply(self, endpoint: Endpoint, subject: str, reply: Message, started: int) -> None:
        body = encode(reply)
        headers = {
            "content-type": CONTENT_TYPE,
            names.COMPONENT: endpoint.component,
            names.INSTANCE: self.instance,
            names.TIMING: str((time.perf_counter_ns() - started) // 1000),
        }
        check_size(headers, body, self.connection.max_payload)
        await self._publish(subject, body, headers)

    async def _reply_error(
        self, endpoint: Endpoint, subject: str, error: ErrorReply, *, relayed: bool = False
    ) -> None:
        headers = {
            "content-type": CONTENT_TYPE,
            names.COMPONENT: endpoint.component,
            names.INSTANCE: self.instance,
            names.ERROR: error.error,
            names.ERROR_CODE: str(STATUS[error.code]),
        }
        if relayed:
            headers[names.RETRIED] = "1"
        await self._publish(subject, encode(error), headers)  # type: ignore[arg-type]

    async def _publish(self, subject: str, body: bytes, headers: dict[str, str]) -> None:
        try:
            await self.connection.publish(subject, body, headers=headers)
        except nats.errors.Error as error:
            self.log.warning("reply_lost", error=type(error).__name__)


async def _let_go(served: _Served) -> None:
    """Unsubscribe, and let the client hand over what it holds; once more where that was cut off."""
    subscription = served.subscription
    if subscription is None:
        return
    served.leaving = True
    # The client calls one closed that it did not drain to the end, yet keeps it and makes it again at each
    # reconnect: unless it drains it after all, requests would come for an endpoint that is forgotten.
    subscription._closed = False
    # And it may write the ping of a drain ahead of what unsubscribes: what is delivered in between would be lost.
    await subscription._conn._send_unsubscribe(subscription._id)
    await subscription._conn.flush()
    await subscription.drain()  # type: ignore[no-untyped-call]
    served.subscription, served.leaving = None, False


async def _answered(every: Sequence[_Served]) -> None:
    while tasks := [task for served in every for task in served.tasks]:
        await asyncio.wait(tasks)


def _account(stats: EndpointStats, outcome: str, took_ns: int) -> None:
    stats.requests += 1
    stats.processing_ns += took_ns
    if outcome != "ok":
        stats.errors += 1
        stats.last_error = outcome
