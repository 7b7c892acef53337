"""The stream of explanations: one message per request, found again by who names request and tenant."""

import hashlib
from dataclasses import dataclass

import nats.errors
import nats.js.errors
from nats.aio.client import Client as NatsClient

from trimtab.bus.streams import ensure, explain_stream
from trimtab.contracts import subjects
from trimtab.contracts.errors import BusUnavailable, InvalidMessage, UnknownExplanation
from trimtab.contracts.explain import Explanation
from trimtab.contracts.message import decode, encode

_TIMEOUT_S = 2.0


def explanation_key(request_id: str, tenant: str) -> str:
    """Return the subject token of a request: ids may hold what no subject may, and two tenants the same id."""
    return hashlib.sha256(f"{tenant}\0{request_id}".encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Newest:
    """What the newest places of the stream hold."""

    explanations: list[Explanation]
    """Oldest first, of all tenants."""
    unreadable: int
    """Places that hold what this version cannot read; of which searches is not known."""


class Explanations:
    """Writes explanations to the stream and reads them back."""

    def __init__(self, connection: NatsClient) -> None:
        self._js = connection.jetstream(timeout=_TIMEOUT_S)

    async def open(self) -> None:
        """Make the stream unless it is there.

        Raises:
            BusUnavailable: JetStream does not answer, or refuses.
        """
        try:
            await ensure(self._js, explain_stream())
        except (nats.errors.Error, nats.js.errors.Error):
            raise BusUnavailable(
                "the stream of explanations cannot be made; see `trimtab doctor`"
            ) from None

    async def store(self, explanation: Explanation) -> None:
        """Store one explanation; a second one of the same request replaces it.

        Raises:
            BusUnavailable: the stream did not acknowledge it.
        """
        key = explanation_key(explanation.request_id, explanation.tenant)
        body = encode(explanation)
        try:
            await self._publish(subjects.explanation(key), body)
        except nats.js.errors.NoStreamResponseError:
            await self.open()  # JetStream came back without its files
            await self._publish(subjects.explanation(key), body)

    async def read(self, request_id: str, tenant: str) -> Explanation:
        """Return what is stored of a request of a tenant.

        Raises:
            UnknownExplanation: nothing is.
            BusUnavailable: JetStream does not answer, or this role may not read the stream.
        """
        subject = subjects.explanation(explanation_key(request_id, tenant))
        try:
            stored = await self._js.get_last_msg(subjects.EXPLAIN_STREAM, subject)
        except nats.js.errors.NotFoundError:
            raise UnknownExplanation(request_id, tenant) from None
        except (nats.errors.Error, nats.js.errors.Error):
            raise BusUnavailable(
                "the stream of explanations does not answer; only an operator may read it"
            ) from None
        return decode(Explanation, stored.data or b"")

    async def newest(self, since: float, most: int) -> Newest:
        """Return what is stored of searches after ``since``, unix seconds.

        Looks at the newest ``most`` places of the stream only. Empty where nothing was ever explained. What a
        newer version wrote may be unreadable: it is counted and passed over.

        Raises:
            BusUnavailable: JetStream does not answer, or this role may not read the stream.
        """
        found: list[Explanation] = []
        unreadable = 0
        try:
            last = await self._js.get_last_msg(subjects.EXPLAIN_STREAM, subjects.EXPLANATIONS)
            sequence = last.seq or 0
            for place in range(sequence, max(0, sequence - most), -1):
                try:
                    explained = await self._at(place)
                except InvalidMessage:
                    unreadable += 1
                    continue
                if explained is not None and explained.at < since:
                    break
                found += [explained] if explained is not None else []
        except nats.js.errors.NotFoundError:
            return Newest([], 0)
        except (nats.errors.Error, nats.js.errors.Error):
            raise BusUnavailable(
                "the stream of explanations does not answer; only an operator may read it"
            ) from None
        return Newest(found[::-1], unreadable)

    async def _at(self, sequence: int) -> Explanation | None:
        try:
            stored = await self._js.get_msg(subjects.EXPLAIN_STREAM, sequence)
        except nats.js.errors.NotFoundError:
            return None  # replaced by a later one of the same request, or dropped
        return decode(Explanation, stored.data or b"")

    async def _publish(self, subject: str, body: bytes) -> None:
        try:
            await self._js.publish(subject, body, stream=subjects.EXPLAIN_STREAM)
        except nats.js.errors.NoStreamResponseError:
            raise
        except (nats.errors.Error, nats.js.errors.Error):
            raise BusUnavailable("the stream of explanations did not acknowledge") from None
