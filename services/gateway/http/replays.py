"""Answers by idempotency key, shared by all gateways: a request that comes again gets the answer it already had.

Bounded and safe to lose: without the bucket, or with it full, a request is simply answered. Mapping is pure
and a passage is stored by its content, so an answer made twice does no harm.
"""

import hashlib
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import nats.errors
import nats.js.errors
from nats.aio.client import Client as NatsClient
from nats.js.api import KeyValueConfig
from nats.js.kv import KeyValue
from starlette.responses import Response

from trimtab.contracts import subjects
from trimtab.contracts.errors import (
    IdempotencyConflict,
    InvalidMessage,
    RequestInProgress,
    TrimtabError,
)
from trimtab.contracts.idempotency import MAX_KEY_CHARS, StoredAnswer
from trimtab.contracts.message import decode, encode
from trimtab.telemetry.metrics import IDEMPOTENCY

KEY = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
"""Header of an answer: ``true`` when it was made for an earlier request."""

KEY_PATTERN = rf"^[!-~]{{1,{MAX_KEY_CHARS}}}$"
"""Form of a key."""

MAX_ANSWER_BYTES = 256 * 1024
"""Largest answer that is kept; a larger one is made again."""

_BUCKET_BYTES = 32 * 1024**2
_TIMEOUT_S = 2.0
_TRIES = 3
_GRACE_S = 5.0
_FORM = re.compile(KEY_PATTERN)

Make = Callable[[], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Named:
    """A request that named itself."""

    key: str
    """What the caller sent."""
    scope: tuple[str, str]
    """Tenant and endpoint: the same key of another tenant, or for another verb, is another key."""
    body: bytes
    """As it came."""
    remaining_s: float
    """Time in which it will be answered, or never."""

    @property
    def entry(self) -> str:
        """Key of its entry."""
        content = "\0".join((*self.scope, self.key)).encode()
        return hashlib.sha256(content).hexdigest()[:32]

    @property
    def digest(self) -> str:
        """sha256 of the body."""
        return hashlib.sha256(self.body).hexdigest()


class Replays:
    """The bucket, opened when it is first needed."""

    def __init__(self, connection: NatsClient, ttl_s: float) -> None:
        self._js = connection.jetstream(timeout=_TIMEOUT_S)
        self._ttl_s = ttl_s
        self._opened: KeyValue | None = None

    async def once(self, named: Named, make: Make) -> Response:
        """Return the stored answer of a request, or make and store it.

        Raises:
            InvalidMessage: the key is not of its form.
            IdempotencyConflict: the key was used with another body.
            RequestInProgress: the same request is being answered just now, here or by another gateway.
        """
        if not _FORM.fullmatch(named.key):
            raise InvalidMessage(
                "request", f"{KEY} must be 1 to {MAX_KEY_CHARS} visible ASCII characters"
            )
        try:
            found = await self._take(named)
        except (nats.errors.Error, nats.js.errors.Error):
            IDEMPOTENCY.labels("unkept").inc()
            return await make()
        if isinstance(found, StoredAnswer):
            IDEMPOTENCY.labels("replayed").inc()
            return Response(
                found.body, found.status, {REPLAYED: "true"}, media_type="application/json"
            )
        IDEMPOTENCY.labels("first").inc()
        return await self._make(named, found, make)

    async def _make(self, named: Named, revision: int, make: Make) -> Response:
        try:
            response = await make()
        except BaseException:
            await self._release(named, revision)
            raise
        body = bytes(response.body)
        if len(body) > MAX_ANSWER_BYTES:
            await self._release(named, revision)
            return response
        answer = StoredAnswer(
            digest=named.digest,
            expires_at=time.time() + self._ttl_s,
            status=response.status_code,
            body=body,
        )
        try:
            await (await self._bucket()).update(named.entry, encode(answer), last=revision)
        except (nats.errors.Error, nats.js.errors.Error):
            IDEMPOTENCY.labels("unkept").inc()
        return response

    async def _take(self, named: Named) -> StoredAnswer | int:
        """Return the answer, or the revision under which this gateway makes it."""
        bucket = await self._bucket()
        for _ in range(_TRIES):
            now = time.time()
            until = now + named.remaining_s + _GRACE_S
            begun = encode(StoredAnswer(digest=named.digest, expires_at=until))
            try:
                return await bucket.create(named.entry, begun)
            except nats.js.errors.KeyWrongLastSequenceError:
                known = await self._known(bucket, named.entry)
            if known is None:
                continue
            answer, revision = known
            if answer.expires_at > now:
                return _judged(answer, named)
            try:
                return await bucket.update(named.entry, begun, last=revision)
            except nats.js.errors.KeyWrongLastSequenceError:
                continue  # another gateway took it over
        raise _counted("in_progress", RequestInProgress())

    async def _known(self, bucket: KeyValue, entry: str) -> tuple[StoredAnswer, int] | None:
        try:
            found = await bucket.get(entry)
        except nats.js.errors.KeyNotFoundError:
            return None
        return decode(StoredAnswer, found.value or b""), found.revision or 0

    async def _release(self, named: Named, revision: int) -> None:
        """Let the same request be tried again: an error is no answer that is worth keeping."""
        try:
            await (await self._bucket()).delete(named.entry, last=revision)
        except (nats.errors.Error, nats.js.errors.Error):
            return  # it expires soon after the deadline

    async def _bucket(self) -> KeyValue:
        if self._opened is None:
            try:
                self._opened = await self._js.key_value(subjects.IDEMPOTENCY_BUCKET)
            except nats.js.errors.BucketNotFoundError:
                self._opened = await self._js.create_key_value(
                    KeyValueConfig(
                        bucket=subjects.IDEMPOTENCY_BUCKET,
                        history=1,
                        ttl=self._ttl_s,
                        max_bytes=_BUCKET_BYTES,
                    )
                )
        return self._opened


def _judged(answer: StoredAnswer, named: Named) -> StoredAnswer:
    if answer.digest != named.digest:
        error = IdempotencyConflict("this idempotency key", answer.digest, named.digest)
        raise _counted("conflict", error)
    if answer.status == 0:
        raise _counted("in_progress", RequestInProgress())
    return answer


def _counted(result: str, error: TrimtabError) -> TrimtabError:
    IDEMPOTENCY.labels(result).inc()
    return error
