"""The streams of a deployment, declared once and identically by whoever needs them first."""

import asyncio

import nats.js.errors
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)

from trimtab.contracts.jobs import JobPriority
from trimtab.contracts.subjects import (
    DEAD,
    DLQ_STREAM,
    DOCS,
    DOCS_STREAM,
    EXPLAIN_STREAM,
    EXPLANATIONS,
    JOBS,
    JOBS_STREAM,
    RESULTS,
    RESULTS_STREAM,
    jobs_of_priority,
)

_DOCS_MAX_BYTES = 16 * 1024**3
_EXPLAIN_MAX_BYTES = 256 * 1024**2
_EXPLAIN_MAX_AGE_S = 7 * 24 * 3600.0

MAX_JOBS = 100_000
"""Most jobs that wait; one more is refused, and its producer told so."""

JOB_ACK_S = 10.0
"""Silence after which a job is given to another gateway; one that works says so every few seconds."""

# The server sets these aside when a stream is made, so together they must fit a small disk beside the passages.
_JOBS_MAX_BYTES = 512 * 1024**2
_JOBS_MAX_ACK_PENDING = 1024
_RESULTS_MAX_BYTES = 512 * 1024**2
_RESULTS_MAX_AGE_S = 24 * 3600.0
_DLQ_MAX_BYTES = 128 * 1024**2
_DLQ_MAX_AGE_S = 7 * 24 * 3600.0

_AGAIN_S = 0.25


def docs_stream() -> StreamConfig:
    """Stream of passages: a subject's last message is the passage's present content."""
    return StreamConfig(
        name=DOCS_STREAM,
        subjects=[DOCS],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        max_msgs_per_subject=1,
        # A full stream refuses the write, so that nothing stored is ever dropped silently.
        discard=DiscardPolicy.NEW,
        max_bytes=_DOCS_MAX_BYTES,
        allow_direct=True,
    )


def explain_stream() -> StreamConfig:
    """Stream of explanations: a week of them, or as many as fit 256 MiB (some 40,000 of 50 candidates)."""
    return _last_words(EXPLAIN_STREAM, EXPLANATIONS, _EXPLAIN_MAX_BYTES, _EXPLAIN_MAX_AGE_S)


def jobs_stream() -> StreamConfig:
    """Work queue of jobs; full, it refuses: nothing accepted is ever dropped."""
    return StreamConfig(
        name=JOBS_STREAM,
        subjects=[JOBS],
        retention=RetentionPolicy.WORK_QUEUE,
        storage=StorageType.FILE,
        discard=DiscardPolicy.NEW,
        max_msgs=MAX_JOBS,
        max_bytes=_JOBS_MAX_BYTES,
        allow_direct=False,
    )


def job_consumer(priority: JobPriority) -> str:
    """Return the name of the consumer through which gateways share the jobs of one priority."""
    return f"gateway_{priority.value}"


def jobs_consumers() -> list[ConsumerConfig]:
    """Return what gateways pull from, one per priority.

    Headers only: a role that may pull can choose where a delivery goes, so none carries a payload of a
    producer's making; gateways read it by its sequence. How often a job was tried is the gateways' to judge,
    so the server never hides one: ``max_deliver`` has no end.
    """
    return [
        ConsumerConfig(
            durable_name=job_consumer(priority),
            filter_subject=jobs_of_priority(priority),
            deliver_policy=DeliverPolicy.ALL,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=JOB_ACK_S,
            max_deliver=-1,
            max_ack_pending=_JOBS_MAX_ACK_PENDING,
            headers_only=True,
        )
        for priority in JobPriority
    ]


def results_stream() -> StreamConfig:
    """Stream of what became of jobs: one word each, forgotten after a day."""
    return _last_words(RESULTS_STREAM, RESULTS, _RESULTS_MAX_BYTES, _RESULTS_MAX_AGE_S)


def dlq_stream() -> StreamConfig:
    """Stream of jobs that were given up, kept for a week."""
    return _last_words(DLQ_STREAM, DEAD, _DLQ_MAX_BYTES, _DLQ_MAX_AGE_S)


def _last_words(name: str, subject: str, max_bytes: int, max_age_s: float) -> StreamConfig:
    """Return a stream that holds the last message of each subject, and drops the oldest when it is full."""
    return StreamConfig(
        name=name,
        subjects=[subject],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        max_msgs_per_subject=1,
        discard=DiscardPolicy.OLD,
        max_bytes=max_bytes,
        max_age=max_age_s,
        allow_direct=False,
    )


async def ensure_jobs(js: JetStreamContext) -> None:
    """Make the job queue and its consumers unless they are there."""
    await ensure(js, jobs_stream())
    for config in jobs_consumers():
        try:
            await js.consumer_info(JOBS_STREAM, config.durable_name or "")
        except nats.js.errors.NotFoundError:
            await js.add_consumer(JOBS_STREAM, config)


async def ensure(js: JetStreamContext, config: StreamConfig) -> None:
    """Make the stream unless it is there.

    Who makes one at the same moment as somebody else may be told that the disk is too small: the server
    counts what both would set aside. The next look finds it.
    """
    for last in (False, False, True):
        try:
            await js.stream_info(config.name or "")
        except nats.js.errors.NotFoundError:
            try:
                await js.add_stream(config)
            except nats.js.errors.ServerError:
                if last:
                    raise
                await asyncio.sleep(_AGAIN_S)
                continue
        return
