"""The streams of a deployment, declared once and identically by whoever needs them first."""

import nats.js.errors
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from trimtab.contracts.subjects import DOCS, DOCS_STREAM

_DOCS_MAX_BYTES = 16 * 1024**3


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


async def ensure(js: JetStreamContext, config: StreamConfig) -> None:
    """Make the stream unless it is there."""
    try:
        await js.stream_info(config.name or "")
    except nats.js.errors.NotFoundError:
        await js.add_stream(config)
