"""Jobs that were given up: written by gateways, listed, replayed and purged by operators.

Two messages under one key: the letter, which holds ids, lengths and codes, and the job itself, which only
a replay reads.
"""

import time

import msgspec
import nats.errors
import nats.js.errors
from nats.aio.client import Client as NatsClient
from nats.js.api import RawStreamMsg

from trimtab.bus.streams import dlq_stream, ensure
from trimtab.contracts import subjects
from trimtab.contracts.errors import BusUnavailable, UnknownJob
from trimtab.contracts.jobs import MAX_DEADLINE_S, DeadLetter, Job
from trimtab.contracts.message import decode, encode
from trimtab.jobs.queue import JobQueue

_TIMEOUT_S = 5.0


class DeadLetters:
    """``TRIMTAB_DLQ`` over one connection."""

    def __init__(self, connection: NatsClient) -> None:
        self._connection = connection
        self._js = connection.jetstream(timeout=_TIMEOUT_S)

    async def write(self, letter: DeadLetter, job: bytes) -> None:
        """Store a letter and its job, the letter last; a second one of the same key replaces it.

        Raises:
            BusUnavailable: the stream did not acknowledge both.
        """
        try:
            await ensure(self._js, dlq_stream())
            for subject, body in (
                (subjects.dead_request(letter.key), job),
                (subjects.dead_letter(letter.key), encode(letter)),
            ):
                await self._js.publish(subject, body, stream=subjects.DLQ_STREAM)
        except (nats.errors.Error, nats.js.errors.Error):
            raise BusUnavailable("the stream of dead letters did not acknowledge") from None

    async def depth(self) -> int:
        """Return how many letters there are; raises BusUnavailable."""
        try:
            info = await self._js.stream_info(
                subjects.DLQ_STREAM, subjects_filter=subjects.DEAD_LETTERS
            )
        except nats.js.errors.NotFoundError:
            return 0
        except (nats.errors.Error, nats.js.errors.Error):
            raise _silent() from None
        return len(info.state.subjects or {})

    async def oldest(self, limit: int) -> list[DeadLetter]:
        """Return at most ``limit`` letters, the oldest first; raises BusUnavailable."""
        letters: list[DeadLetter] = []
        sequence = 1
        while len(letters) < limit:
            found = await self._get(sequence=sequence, subject=subjects.DEAD_LETTERS)
            if found is None:
                break
            sequence = (found.seq or 0) + 1
            letters.append(decode(DeadLetter, found.data or b""))
        return letters

    async def replay(self, key: str) -> Job:
        """Put a job back into the queue under its id and forget its letter; returns it.

        Its deadline begins anew, as long as it was, for what waited here has passed it.

        Raises:
            UnknownJob: no letter has this key, or its request cannot be read.
            Overloaded: the queue is full; the letter stays.
            BusUnavailable: JetStream does not answer; the letter stays.
        """
        found = await self._get(subject=subjects.dead_request(key))
        letter = await self._get(subject=subjects.dead_letter(key))
        if found is None or letter is None:
            raise UnknownJob(key)
        job = decode(Job, found.data or b"")
        now = time.time()
        span_s = min(max(job.deadline_at - job.submitted_at, 1.0), MAX_DEADLINE_S)
        again = msgspec.structs.replace(
            job, submitted_at=now, deadline_at=now + span_s, replay=job.replay + 1
        )
        await JobQueue(self._connection).submit(again)
        # Only what was read: the job may have died again meanwhile.
        await self._purge(subjects.dead_letter(key), up_to=letter.seq or 0)
        await self._purge(subjects.dead_request(key), up_to=found.seq or 0)
        return again

    async def purge(self) -> int:
        """Remove every letter and job; returns how many letters there were; raises BusUnavailable."""
        depth = await self.depth()
        await self._purge(subjects.DEAD)
        return depth

    async def _purge(self, subject: str, *, up_to: int = 0) -> None:
        before = up_to + 1 if up_to else None
        try:
            await self._js.purge_stream(subjects.DLQ_STREAM, seq=before, subject=subject)
        except nats.js.errors.NotFoundError:
            return
        except (nats.errors.Error, nats.js.errors.Error):
            raise _silent() from None

    async def _get(self, *, subject: str, sequence: int | None = None) -> RawStreamMsg | None:
        try:
            return await self._js.get_msg(
                subjects.DLQ_STREAM, seq=sequence, subject=subject, next=sequence is not None
            )
        except nats.js.errors.NotFoundError:
            return None
        except (nats.errors.Error, nats.js.errors.Error):
            raise _silent() from None


def _silent() -> BusUnavailable:
    return BusUnavailable(
        "the stream of dead letters does not answer; only an operator may read it"
    )
