"""The streams of a deployment, declared once and identically by whoever needs them first."""

import nats.js.errors
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from trimtab.contracts.subjects import DOCS, DOCS_STREAM, EXPLAIN_STREAM, EXPLANATIONS

_DOCS_MAX_BYTES = 16 * 1024**3
_EXPLAIN_MAX_BYTES = 256 * 1024**2
_EXPLAIN_MAX_AGE_S = 7 * 24 * 3600.0


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
    return StreamConfig(
        name=EXPLAIN_STREAM,
        subjects=[EXPLANATIONS],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        max_msgs_per_subject=1,
        discard=DiscardPolicy.OLD,
        max_bytes=_EXPLAIN_MAX_BYTES,
        max_age=_EXPLAIN_MAX_AGE_S,
        allow_direct=False,
    )


async def ensure(js: JetStreamContext, config: StreamConfig) -> None:
    """Make the stream unless it is there."""
    try:
        await js.stream_info(config.name or "")
    except nats.js.errors.NotFoundError:
        await js.add_stream(config)
