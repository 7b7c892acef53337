"""Following the stream of passages: the only module of this service that knows JetStream.

A pull consumer without acknowledgements, made anew from the last sequence whenever it is silent, gone or
out of step; the applied sequence is the worker's own and lies beside its passages, not on the server.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from enum import Enum, auto

import nats.errors
import nats.js.errors
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from trimtab.contracts import headers, subjects
from trimtab.contracts.documents import Entry
from trimtab.telemetry.logs import Logger

BATCH = 256
"""Most messages of one batch."""

GATHER_S = 0.05
"""Longest time a batch waits for more once it has a message and the stream has others."""

_EXPIRES_S = 20.0
_HEARTBEAT_S = 0.5
_SILENCE_S = 2.0
"""Without a message or heartbeat for that long the consumer is made anew."""

_RETRY_S = 0.5
_INACTIVE_S = 60.0
_PENDING_BYTES = 512 << 20
"""A whole batch of the largest messages fits; more is never asked for."""


@dataclass(frozen=True, slots=True)
class FeedMessage:
    """One message of the stream."""

    sequence: int
    """Stream sequence."""
    data: bytes
    """Body."""
    entry: str = Entry.PASSAGE
    """What the body is; one of :class:`Entry`, or something that only a newer version knows."""


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """What the stream is and how far it goes."""

    identity: str
    """Changes when the stream is deleted and made again."""
    last_sequence: int
    """Of its last message; 0 when it never had one."""


class StreamReplaced(Exception):
    """The stream is another one than before: what was applied of the old one means nothing."""


class _Kind(Enum):
    MESSAGE = auto()
    HEARTBEAT = auto()
    REQUEST_OVER = auto()
    GONE = auto()


class Feed:
    """Follows ``TRIMTAB_DOCS`` from a sequence on, through restarts of the server."""

    def __init__(self, connection: NatsClient, log: Logger) -> None:
        self._connection = connection
        self._log = log
        self._js = connection.jetstream(timeout=2)
        self.behind = 0
        """Messages of the stream that come after the last batch, as the server counted them then."""

    async def stream(self) -> StreamFacts:
        """Return what the stream is, waiting for it to be there."""
        announced = False
        while True:
            try:
                info = await self._js.stream_info(subjects.DOCS_STREAM)
                created = info.created.isoformat() if info.created else ""
                return StreamFacts(created, info.state.last_seq)
            except (nats.errors.Error, nats.js.errors.Error) as error:
                if not announced:
                    self._log.warning("waiting_for_documents", error=type(error).__name__)
                    announced = True
                await asyncio.sleep(_RETRY_S)

    async def batches(self, identity: str, after: int) -> AsyncGenerator[list[FeedMessage], None]:
        """Yield what follows sequence ``after``, in order and without gaps, for ever.

        A batch is empty when the stream was asked and has nothing more.

        Raises:
            StreamReplaced: the stream is not the one of ``identity`` any more.
        """
        while True:
            pull = await self._open(identity, after)
            try:
                self.behind = pull.behind
                if not self.behind:
                    yield []
                async with contextlib.aclosing(pull.batches()) as batches:
                    async for batch in batches:
                        after, self.behind = batch[-1].sequence, pull.behind
                        yield batch
            finally:
                await pull.close()
            self._log.info("documents_consumer_renewed", sequence=after)

    async def _open(self, identity: str, after: int) -> "_Pull":
        while True:
            facts = await self.stream()
            if facts.identity != identity or facts.last_sequence < after:
                raise StreamReplaced
            try:
                return await _Pull.open(self._connection, after)
            except (nats.errors.Error, nats.js.errors.Error) as error:
                self._log.warning("documents_consumer_failed", error=type(error).__name__)
                await asyncio.sleep(_RETRY_S)


class _Pull:
    """One consumer on the server and the inbox it delivers to."""

    def __init__(self, connection: NatsClient, inbox: Subscription, next_subject: str) -> None:
        self._connection = connection
        self._inbox = inbox
        self._next_subject = next_subject
        self._asked = 0
        self._received = 0
        self._lost = False
        self.behind = 0
        """Messages of the stream that were not delivered yet, as the last one said."""

    @classmethod
    async def open(cls, connection: NatsClient, after: int) -> "_Pull":
        """Make a consumer that starts behind ``after``."""
        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=after + 1,
            ack_policy=AckPolicy.NONE,
            filter_subject=subjects.DOCS,
            inactive_threshold=_INACTIVE_S,
            mem_storage=True,
            num_replicas=1,
        )
        info = await connection.jetstream(timeout=2).add_consumer(subjects.DOCS_STREAM, config)
        inbox = await connection.subscribe(
            connection.new_inbox(), pending_bytes_limit=_PENDING_BYTES
        )
        target = f"$JS.API.CONSUMER.MSG.NEXT.{subjects.DOCS_STREAM}.{info.name}"
        pull = cls(connection, inbox, target)
        pull.behind = info.num_pending or 0
        return pull

    async def close(self) -> None:
        """Stop listening; the server forgets the idle consumer by itself."""
        if not self._connection.is_closed:
            try:
                await self._inbox.unsubscribe()
            except nats.errors.Error:
                return  # the connection went away: so did the subscription

    async def batches(self) -> AsyncGenerator[list[FeedMessage], None]:
        """Yield batches until the consumer falls silent, is gone, or skips a message."""
        while not self._lost:
            batch = await self._gather()
            if batch:
                yield batch

    async def _gather(self) -> list[FeedMessage]:
        """Return the next batch; empty, and the pull lost, when there is no use waiting any longer."""
        batch: list[FeedMessage] = []
        deadline: float | None = None
        while len(batch) < BATCH and not self._lost:
            await self._ask()
            message = await self._next(deadline)
            if message is None:
                self._lost = not batch
                break
            match _kind(message):
                case _Kind.MESSAGE:
                    self._take(message, batch)
                    deadline = deadline or time.monotonic() + GATHER_S
                    if self.behind == 0:
                        break
                case _Kind.REQUEST_OVER:
                    self._asked = 0
                case _Kind.GONE:
                    self._lost = True
                case _Kind.HEARTBEAT:
                    pass
        return batch

    async def _ask(self) -> None:
        if self._asked > 0:
            return
        request = {
            "batch": BATCH,
            "expires": int(_EXPIRES_S * 1e9),
            "idle_heartbeat": int(_HEARTBEAT_S * 1e9),
        }
        self._asked = BATCH
        await self._connection.publish(
            self._next_subject, json.dumps(request).encode(), reply=self._inbox.subject
        )

    async def _next(self, deadline: float | None) -> Msg | None:
        """Return the next message, None when none came in time or the connection is closed."""
        wait_s = _SILENCE_S if deadline is None else max(0.001, deadline - time.monotonic())
        try:
            message: Msg = await self._inbox.next_msg(timeout=wait_s)
        except nats.errors.Error:
            return None
        return message

    def _take(self, message: Msg, batch: list[FeedMessage]) -> None:
        """Add one message to the batch, unless one before it is missing."""
        self._asked -= 1
        self._received += 1
        if message.metadata.sequence.consumer != self._received:
            self._lost = True
            return
        self.behind = message.metadata.num_pending
        entry = (message.headers or {}).get(headers.ENTRY, Entry.PASSAGE)
        batch.append(FeedMessage(message.metadata.sequence.stream, message.data, entry))


def _kind(message: Msg) -> _Kind:
    if message.data or not message.headers or "Status" not in message.headers:
        return _Kind.MESSAGE
    match message.headers["Status"]:
        case "100":
            return _Kind.HEARTBEAT
        case "404" | "408":
            return _Kind.REQUEST_OVER
        case _:
            return _Kind.GONE
