"""Asking a service over NATS: one reply or one typed error, always before the deadline."""

import asyncio
import random
from dataclasses import dataclass
from typing import Generic, TypeVar

import nats.errors
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg

from trimtab.contracts import headers as names
from trimtab.contracts.errors import (
    BusUnavailable,
    DeadlineExceeded,
    ErrorCode,
    ErrorReply,
    MessageTooLarge,
    NoWorkers,
    RemoteError,
    TrimtabError,
)
from trimtab.contracts.headers import RequestContext
from trimtab.contracts.message import Message, decode, encode

M = TypeVar("M", bound=Message)

RETRIES = 2
"""Extra tries after a worker shed the request; more would feed the overload."""

_RETRYABLE = frozenset({ErrorCode.OVERLOADED, ErrorCode.DRAINING, ErrorCode.NOT_READY})
_RETRY_WAIT_MS = 2.0
_HEADROOM = 4096
"""Bytes kept free below max_payload: the server counts headers, the client does not."""


@dataclass(frozen=True, slots=True)
class Answer(Generic[M]):
    """A reply and what its headers say of who made it."""

    message: M
    """The reply."""
    component: str
    """Component version that made it."""
    instance: str
    """Worker that made it."""


def check_size(headers: dict[str, str], body: bytes, max_payload: int) -> None:
    """Refuse what the server would answer by closing the connection.

    Raises:
        MessageTooLarge: headers and body come within 4 KiB of ``max_payload``.
    """
    limit = max_payload - _HEADROOM
    if len(body) > limit - 1024:
        size = len(body) + sum(len(key) + len(value) + 4 for key, value in headers.items())
        if size > limit:
            raise MessageTooLarge(size, limit)


def _parse(kind: type[M], reply: Msg) -> Answer[M]:
    headers = reply.headers or {}
    if names.ERROR in headers:
        raise RemoteError(decode(ErrorReply, reply.data), retried=names.RETRIED in headers)
    return Answer(
        decode(kind, reply.data), headers.get(names.COMPONENT, ""), headers.get(names.INSTANCE, "")
    )


class Caller:
    """Calls services over one connection."""

    def __init__(self, connection: NatsClient) -> None:
        self._connection = connection

    async def call(
        self,
        subject: str,
        request: Message,
        kind: type[M],
        context: RequestContext,
        *,
        retries: int = RETRIES,
    ) -> Answer[M]:
        """Send ``request`` and return the reply.

        A shed request is sent again at most ``retries`` times, each time to whichever worker the queue group
        picks, while time is left. What was shed further behind was tried again there: nine tries of one
        request would feed an overload.

        Raises:
            NoWorkers: nobody subscribes to the subject.
            DeadlineExceeded: no reply before the context's deadline.
            MessageTooLarge: refused before sending.
            BusUnavailable: not connected.
            RemoteError: the service replied with an error.
            InvalidMessage: the reply does not fit ``kind``.
        """
        body, headers = encode(request), context.wire()
        check_size(headers, body, self._connection.max_payload)
        for attempt in range(retries + 1):
            try:
                return await self._once(subject, body, kind, headers, context)
            except RemoteError as error:
                wait_ms = random.uniform(0.5, 1.5) * _RETRY_WAIT_MS * (attempt + 1)  # noqa: S311
                exhausted = attempt == retries or context.remaining_ms() <= wait_ms
                if error.retried or error.code not in _RETRYABLE or exhausted:
                    raise
                await asyncio.sleep(wait_ms / 1000)
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _once(
        self,
        subject: str,
        body: bytes,
        kind: type[M],
        headers: dict[str, str],
        context: RequestContext,
    ) -> Answer[M]:
        remaining_ms = context.remaining_ms()
        if remaining_ms <= 0:
            raise DeadlineExceeded(subject, remaining_ms)
        try:
            reply = await self._connection.request(
                subject, body, timeout=remaining_ms / 1000, headers=headers
            )
        except nats.errors.Error as error:
            raise _typed(subject, error, context) from None
        return _parse(kind, reply)

    async def gather(
        self, subject: str, request: Message, kind: type[M], *, window_s: float, expected: int = 0
    ) -> list[M]:
        """Ask every worker at once and return the replies that came within ``window_s``.

        Returns early once ``expected`` replies are in, when that is not 0.
        """
        inbox = self._connection.new_inbox()
        subscription = await self._connection.subscribe(inbox)
        replies: list[M] = []
        try:
            await self._connection.publish(subject, encode(request), reply=inbox)
            async with asyncio.timeout(window_s):
                while not expected or len(replies) < expected:
                    message = await subscription.next_msg(timeout=window_s)
                    if not message.data:  # no responders
                        break
                    replies.append(decode(kind, message.data))
        except (TimeoutError, nats.errors.TimeoutError):
            pass  # the window is over: that is how a gather ends
        finally:
            if not self._connection.is_closed:
                await subscription.unsubscribe()
        return replies


def _typed(subject: str, error: nats.errors.Error, context: RequestContext) -> TrimtabError:
    match error:
        case nats.errors.NoRespondersError():
            return NoWorkers(subject)
        case nats.errors.TimeoutError():
            return DeadlineExceeded(subject, context.remaining_ms())
        case _:
            return BusUnavailable()
