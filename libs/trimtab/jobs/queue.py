"""The work queue of jobs as producers and operators use it: submit, and see what waits."""

import nats.errors
import nats.js.errors
from nats.aio.client import Client as NatsClient
from nats.js.api import Header, RawStreamMsg

from trimtab.bus.caller import check_size
from trimtab.bus.streams import MAX_JOBS
from trimtab.contracts import subjects
from trimtab.contracts.errors import (
    BusUnavailable,
    InvalidMessage,
    NotReady,
    Overloaded,
)
from trimtab.contracts.jobs import Job
from trimtab.contracts.message import decode, encode
from trimtab.jobs.identity import job_key

_TIMEOUT_S = 5.0
_FULL = 10077
"""The server's code for a stream that takes no more messages."""

_OTHER_SEQUENCE = 10071
"""The server's code for a write that expected another last message of its subject."""


class JobQueue:
    """``TRIMTAB_JOBS`` over one connection."""

    def __init__(self, connection: NatsClient) -> None:
        self._connection = connection
        self._js = connection.jetstream(timeout=_TIMEOUT_S)

    async def submit(self, job: Job) -> bool:
        """Put a job into the queue; durable when this returns. False: it was there already.

        Raises:
            MessageTooLarge: it does not fit a message.
            Overloaded: the queue is full.
            NotReady: there is no queue yet; the controller makes it.
            BusUnavailable: no acknowledgement came; submit it again, under the same id it is one job.
        """
        key = job_key(job.tenant, job.id)
        body = encode(job)
        headers = {
            Header.MSG_ID.value: f"{key}.{job.replay}",
            # The server remembers message ids for two minutes; what still waits is known for ever.
            Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: "0",
        }
        check_size(headers, body, self._connection.max_payload)
        subject = subjects.job(job.kind, job.priority, key)
        try:
            ack = await self._js.publish(
                subject, body, stream=subjects.JOBS_STREAM, headers=headers
            )
        except nats.js.errors.APIError as error:
            return _refused(error)
        except nats.js.errors.NoStreamResponseError:
            raise NotReady("the job queue") from None
        except (nats.errors.Error, nats.js.errors.Error):
            raise BusUnavailable(
                "the job queue did not acknowledge; submit the job again under the same id, it stays one job"
            ) from None
        return not ack.duplicate

    async def waiting(self, key: str) -> Job | None:
        """Return the job of this key while it waits or is being worked on; None: the queue holds none.

        Raises:
            BusUnavailable: the queue does not answer.
        """
        try:
            found = await self._js.get_last_msg(subjects.JOBS_STREAM, subjects.job_of(key))
        except nats.js.errors.NotFoundError:
            return None
        except (nats.errors.Error, nats.js.errors.Error):
            raise BusUnavailable("the job queue does not answer") from None
        return _job(found)

    async def oldest(self, limit: int) -> list[Job]:
        """Return at most ``limit`` jobs of the queue, the oldest first; raises BusUnavailable."""
        jobs: list[Job] = []
        sequence = 1
        while len(jobs) < limit:
            found = await self.next(sequence, subjects.JOBS)
            if found is None:
                break
            sequence = (found.seq or 0) + 1
            job = _job(found)
            jobs += [] if job is None else [job]
        return jobs

    async def next(self, sequence: int, subject: str) -> RawStreamMsg | None:
        """Return the first message of ``subject`` from ``sequence`` on; None without; raises BusUnavailable."""
        try:
            return await self._js.get_msg(
                subjects.JOBS_STREAM, seq=sequence, subject=subject, next=True
            )
        except nats.js.errors.NotFoundError:
            return None
        except (nats.errors.Error, nats.js.errors.Error):
            raise BusUnavailable("the job queue does not answer") from None


def _job(message: RawStreamMsg) -> Job | None:
    try:
        return decode(Job, message.data or b"")
    except InvalidMessage:
        return None  # the gateway makes a dead letter of it


def _refused(error: nats.js.errors.APIError) -> bool:
    if error.err_code == _OTHER_SEQUENCE:
        return False
    if error.err_code == _FULL:
        raise Overloaded("the job queue", MAX_JOBS) from None
    raise BusUnavailable("the job queue refused the job; see `trimtab doctor`") from None
