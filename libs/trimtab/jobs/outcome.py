"""What a job's record says, as the reply or the error it stands for. Pure."""

import msgspec

from trimtab.contracts.errors import NotReady, RemoteError
from trimtab.contracts.jobs import JobRecord, JobState
from trimtab.contracts.message import Message, decode
from trimtab.jobs.identity import REPLIES


def is_final(record: JobRecord) -> bool:
    """Whether nothing more will be said of a job, unless somebody replays it."""
    return record.state is not JobState.PENDING


def reply_of(record: JobRecord) -> Message:
    """Return the SearchReply, MapAnswer or PutReply of a job that is done.

    Raises:
        RemoteError: the job ended with this error.
        NotReady: it has not ended.
    """
    if record.error is not None:
        raise RemoteError(record.error)
    if record.reply is None:
        raise NotReady(f"job {record.id}")
    return decode(REPLIES[record.kind], record.reply)


def shape_of(record: JobRecord) -> dict[str, object]:
    """Return a record as JSON shows it: ``{id, kind, state, at, attempts, result, error}``."""
    result = None if record.reply is None else msgspec.to_builtins(reply_of(record))
    return {
        "id": record.id,
        "kind": record.kind.value,
        "state": record.state.value,
        "at": record.at,
        "attempts": record.attempts,
        "result": result,
        "error": None if record.error is None else msgspec.to_builtins(record.error),
    }
