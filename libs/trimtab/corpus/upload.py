"""Sends rows to a collection: batched by size, some in flight at once, a bad passage never stops the rest."""

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from trimtab.contracts.documents import Document, PutReply
from trimtab.contracts.errors import CallerError, ErrorCode, RemoteError, TrimtabError
from trimtab.contracts.message import encode
from trimtab.corpus.rows import BadRow, Row

MAX_BATCH = 16
"""Passages per request: a second of encoding, so progress moves, and a stop need not wait for long."""

MAX_BATCH_BYTES = 512 * 1024
"""Half of the server's max_payload: headers and framing have room."""

IN_FLIGHT = 4
"""Batches on their way at once: the encoder is never idle while another is looked up or stored."""

ATTEMPTS = 6
"""Tries per batch while the services are busy."""

_FIRST_WAIT_S = 0.2

_REFUSALS = frozenset({ErrorCode.INVALID, ErrorCode.TOO_LARGE})
"""Codes that speak of the passages themselves: the batch is halved until the bad one is alone."""

_OF_THE_COLLECTION = frozenset({"NamespaceMismatch", "DimensionMismatch"})
"""Errors that every passage of the collection would meet: none of them is the bad one."""

Progress = Callable[[int], None]
"""Told how many rows are settled since the last call, bad ones included."""


class Puts(Protocol):
    """What is needed of a client."""

    async def put_documents(self, collection: str, documents: Sequence[Document]) -> PutReply:
        """Store passages; durable when it returns."""


@dataclass
class Report:
    """What became of the rows so far."""

    collection: str
    new: int = 0
    """Stored for the first time, or with new content."""
    unchanged: int = 0
    """Stored before with the same content."""
    rejected: list[BadRow] = field(default_factory=list)
    """Rows that are no passage, and passages that were refused; sorted by file and line at the end."""
    sequence: int = 0
    """Newest stream sequence: a retriever that applied it finds them all."""

    @property
    def total(self) -> int:
        """Rows settled."""
        return self.new + self.unchanged + len(self.rejected)


async def upload(
    client: Puts,
    rows: Iterable[Row | BadRow],
    report: Report,
    progress: Progress = lambda _: None,
) -> None:
    """Send every row and fill the report; after an error it still says what was stored.

    Raises:
        TrimtabError: the deployment cannot be reached or refuses everything; what is in the report
            is stored, and sending it again changes nothing.
    """
    places = asyncio.Semaphore(IN_FLIGHT)
    try:
        async with asyncio.TaskGroup() as tasks:
            for batch in batches(_good(rows, report, progress)):
                await places.acquire()
                task = tasks.create_task(_send(client, batch, report, progress))
                task.add_done_callback(lambda _: places.release())
    except* TrimtabError as group:
        raise _first(group) from None
    finally:
        report.rejected.sort(key=lambda bad: (bad.file, bad.line))


def _first(group: BaseExceptionGroup[TrimtabError]) -> TrimtabError:
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    if not isinstance(first, TrimtabError):
        raise TypeError(type(first).__name__)
    return first


def _good(rows: Iterable[Row | BadRow], report: Report, progress: Progress) -> Iterator[Row]:
    for row in rows:
        if isinstance(row, Row):
            yield row
        else:
            report.rejected.append(row)
            progress(1)


def batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Group rows in order, each within our count and half of the server's payload."""
    batch: list[Row] = []
    size = 0
    for row in rows:
        length = len(encode(row.document))
        if batch and (len(batch) == MAX_BATCH or size + length > MAX_BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += length
    if batch:
        yield batch


async def _send(client: Puts, batch: list[Row], report: Report, progress: Progress) -> None:
    try:
        reply = await _put(client, report.collection, batch)
    except TrimtabError as error:
        if not _refuses(error):
            raise
        await _narrow(client, batch, error, report, progress)
        return
    report.new += reply.new
    report.unchanged += reply.unchanged
    report.sequence = max(report.sequence, reply.sequence)
    for refused in reply.rejected:
        row = batch[refused.index]
        report.rejected.append(BadRow(row.file, row.line, refused.reason))
    progress(len(batch))


def _refuses(error: TrimtabError) -> bool:
    if isinstance(error, RemoteError):
        return error.code in _REFUSALS and error.error not in _OF_THE_COLLECTION
    return isinstance(error, CallerError)


async def _narrow(
    client: Puts, batch: list[Row], error: TrimtabError, report: Report, progress: Progress
) -> None:
    if len(batch) == 1:
        report.rejected.append(BadRow(batch[0].file, batch[0].line, error.detail))
        progress(1)
        return
    middle = len(batch) // 2
    await _send(client, batch[:middle], report, progress)
    await _send(client, batch[middle:], report, progress)


async def _put(client: Puts, collection: str, batch: list[Row]) -> PutReply:
    documents = [row.document for row in batch]
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return await client.put_documents(collection, documents)
        except TrimtabError as error:
            # A late answer is tried again too: what was stored counts as unchanged then.
            late = error.code == ErrorCode.DEADLINE
            if attempt == ATTEMPTS or not (error.retryable or late):
                raise
        await asyncio.sleep(_FIRST_WAIT_S * 2 ** (attempt - 1) * random.uniform(0.5, 1.5))  # noqa: S311
    raise AssertionError("unreachable: the last attempt returns or raises")
