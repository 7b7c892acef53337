"""The stream of passages as the gateway writes it: what stands on a subject, durable writes, collections' records."""

import asyncio

import msgspec
import nats.errors
import nats.js.errors
from nats.aio.client import Client as NatsClient
from nats.js.api import Header, RawStreamMsg

from trimtab.bus.caller import check_size
from trimtab.contracts import subjects
from trimtab.contracts.documents import CollectionRecord, Entry, IndexedPassage
from trimtab.contracts.errors import BusUnavailable, UnknownCollection
from trimtab.contracts.headers import CONTENT_HASH, ENTRY
from trimtab.contracts.message import decode, encode
from trimtab.contracts.sparse import SparseSpace

_LOOK_UPS_AT_ONCE = 16
_OTHER_SEQUENCE = 10071
"""The server's code for a write that expected another last message of its subject."""


class Overtaken(Exception):
    """Somebody else wrote the subject since it was looked up; look again."""


class DocStream:
    """``TRIMTAB_DOCS`` over the gateway's connection."""

    def __init__(self, connection: NatsClient) -> None:
        self._connection = connection
        self._js = connection.jetstream(timeout=10)
        self._looking_up = asyncio.Semaphore(_LOOK_UPS_AT_ONCE)

    async def last(self, subject: str) -> RawStreamMsg | None:
        """Return the last message of a subject, which may have wildcards; None without any.

        Raises:
            BusUnavailable: the stream does not answer.
        """
        async with self._looking_up:
            try:
                return await self._js.get_last_msg(subjects.DOCS_STREAM, subject)
            except nats.js.errors.NotFoundError:
                return None
            except (nats.errors.Error, nats.js.errors.Error):
                raise BusUnavailable from None

    async def sequence(self) -> int:
        """Return the sequence of the stream's last message; 0 before the first.

        Raises:
            BusUnavailable: the stream does not answer.
        """
        try:
            return (await self._js.stream_info(subjects.DOCS_STREAM)).state.last_seq
        except (nats.errors.Error, nats.js.errors.Error):
            raise BusUnavailable from None

    async def write(
        self,
        subject: str,
        body: bytes,
        *,
        entry: Entry,
        content_hash: str = "",
        after: int | None = None,
    ) -> int:
        """Write one message and return its sequence; durable when this returns.

        Args:
            subject: whose last message it becomes.
            body: the contract that ``entry`` names.
            entry: what it says.
            content_hash: of a passage.
            after: the subject's last sequence as it was looked up, 0 for none; None does not care.

        Raises:
            Overtaken: the subject's last message is not ``after`` any more; nothing was written.
            MessageTooLarge: it does not fit a message.
            BusUnavailable: no acknowledgement came; it may be written or not.
        """
        headers = {ENTRY: entry.value}
        if content_hash:
            headers[CONTENT_HASH] = content_hash
        if after is not None:
            headers[Header.EXPECTED_LAST_SUBJECT_SEQUENCE] = str(after)
        check_size(headers, body, self._connection.max_payload)
        try:
            ack = await self._js.publish(
                subject, body, stream=subjects.DOCS_STREAM, headers=headers
            )
        except nats.js.errors.APIError as error:
            if error.err_code == _OTHER_SEQUENCE:
                raise Overtaken from None
            raise _unacknowledged() from None
        except (nats.errors.Error, nats.js.errors.Error):
            raise _unacknowledged() from None
        return ack.seq

    async def record(self, collection: str) -> CollectionRecord | None:
        """Return what is fixed for a collection; None for one that nobody began.

        A collection that is older than records gets one: what its last passage says.

        Raises:
            BusUnavailable: the stream does not answer.
        """
        found = await self.last(subjects.collection_record(collection))
        if found is not None:
            return decode(CollectionRecord, found.data or b"")
        passage = await self.last(subjects.documents_of(collection))
        if passage is None or not holds(passage):
            return None
        return await self.begin(_record_of(passage))

    async def begin(self, record: CollectionRecord) -> CollectionRecord:
        """Write a collection's record unless it has one; return the one that holds.

        Raises:
            BusUnavailable: the stream does not answer.
        """
        subject = subjects.collection_record(record.collection)
        try:
            await self.write(subject, encode(record), entry=Entry.COLLECTION, after=0)
        except Overtaken:
            found = await self.last(subject)
            return record if found is None else decode(CollectionRecord, found.data or b"")
        return record

    async def widen(self, record: CollectionRecord, space: SparseSpace) -> None:
        """Fix the space of a collection's sparse vectors in its record; one that has it already is left alone.

        Raises:
            NamespaceMismatch: the collection has sparse vectors of another space.
            BusUnavailable: the stream does not answer.
        """
        subject = subjects.collection_record(record.collection)
        while record.sparse is None:
            found = await self.last(subject)
            known = decode(CollectionRecord, found.data or b"") if found is not None else record
            wide = known if known.sparse else msgspec.structs.replace(known, sparse=space)
            if wide is not known:
                after = 0 if found is None else found.seq or 0
                try:
                    await self.write(subject, encode(wide), entry=Entry.COLLECTION, after=after)
                except Overtaken:
                    continue  # somebody else said it meanwhile
            record = wide
        record.sparse.require(space, f"a sparse vector for collection {record.collection!r}")

    async def unknown(self, collection: str) -> UnknownCollection:
        """Return the error for a collection that nobody began; it names those that somebody did.

        Raises:
            BusUnavailable: the stream does not answer.
        """
        every = subjects.collection_record("*")
        try:
            info = await self._js.stream_info(subjects.DOCS_STREAM, subjects_filter=every)
        except (nats.errors.Error, nats.js.errors.Error):
            raise BusUnavailable from None
        known = sorted(subject.rpartition(".")[2] for subject in info.state.subjects or {})
        return UnknownCollection(collection, tuple(known))


def entry_of(message: RawStreamMsg) -> str:
    """Return what a message says."""
    return str((message.headers or {}).get(ENTRY, Entry.PASSAGE))


def holds(message: RawStreamMsg | None) -> bool:
    """Whether a subject's last message is a passage: not one that was removed, or never was."""
    return message is not None and entry_of(message) == Entry.PASSAGE


def _record_of(message: RawStreamMsg) -> CollectionRecord:
    passage = decode(IndexedPassage, message.data or b"")
    return CollectionRecord(
        collection=passage.collection,
        namespace=passage.namespace,
        component=passage.component,
        dimension=passage.vector.dim,
    )


def _unacknowledged() -> BusUnavailable:
    return BusUnavailable(
        "the document stream did not acknowledge; nothing of this request is promised, send it again"
    )
