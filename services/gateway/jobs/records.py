"""What became of jobs, as gateways write and read it: the last word of each, durable before the job leaves the queue."""

import nats.errors
import nats.js.errors
from nats.aio.client import Client as NatsClient

from trimtab.bus.caller import check_size
from trimtab.bus.streams import ensure, results_stream
from trimtab.contracts import subjects
from trimtab.contracts.errors import BusUnavailable
from trimtab.contracts.jobs import JobRecord
from trimtab.contracts.message import decode, encode

_TIMEOUT_S = 5.0


class JobRecords:
    """``TRIMTAB_RESULTS`` over the gateway's connection."""

    def __init__(self, connection: NatsClient) -> None:
        self._connection = connection
        self._js = connection.jetstream(timeout=_TIMEOUT_S)

    async def write(self, key: str, record: JobRecord) -> None:
        """Write what became of a job; durable when this returns.

        Raises:
            MessageTooLarge: the reply does not fit a message.
            BusUnavailable: no acknowledgement came.
        """
        body = encode(record)
        check_size({}, body, self._connection.max_payload)
        try:
            await self._publish(key, body)
        except nats.js.errors.NoStreamResponseError:
            await (
                self._open()
            )  # the first job of a deployment, or JetStream came back without its files
            await self._publish(key, body)

    async def read(self, key: str) -> JobRecord | None:
        """Return the last word on a job; None without one; raises BusUnavailable."""
        try:
            found = await self._js.get_last_msg(subjects.RESULTS_STREAM, subjects.result(key))
        except nats.js.errors.NotFoundError:
            return None
        except (nats.errors.Error, nats.js.errors.Error):
            raise BusUnavailable("the stream of results does not answer") from None
        return decode(JobRecord, found.data or b"")

    async def _open(self) -> None:
        try:
            await ensure(self._js, results_stream())
        except (nats.errors.Error, nats.js.errors.Error):
            raise BusUnavailable("the stream of results cannot be made") from None

    async def _publish(self, key: str, body: bytes) -> None:
        try:
            await self._js.publish(subjects.result(key), body, stream=subjects.RESULTS_STREAM)
        except nats.js.errors.NoStreamResponseError:
            raise
        except (nats.errors.Error, nats.js.errors.Error):
            raise BusUnavailable("the stream of results did not acknowledge") from None
