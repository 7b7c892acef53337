"""Documents on their way in: checked, compared by content hash, encoded, made durable, then acknowledged."""

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from services.gateway.degrade import degraded_put
from services.gateway.documents.stream import DocStream
from services.gateway.stages import Stages
from trimtab.contracts import subjects
from trimtab.contracts.documents import (
    CollectionRecord,
    Document,
    Entry,
    IndexedPassage,
    PutDocuments,
    PutReply,
    Rejected,
)
from trimtab.contracts.encode import EncodeReply, EncodeRequest, TokenVectors
from trimtab.contracts.errors import (
    DimensionMismatch,
    ErrorCode,
    NamespaceMismatch,
    TrimtabError,
)
from trimtab.contracts.headers import CONTENT_HASH
from trimtab.contracts.message import encode
from trimtab.contracts.retrieve import PUBLIC_TENANT
from trimtab.contracts.sparse import SparseVectors
from trimtab.contracts.tensor import Matrix

_ENCODE_AT_ONCE = 8
"""Passages per encode request: their token vectors must fit one message."""

_REFUSALS = frozenset({ErrorCode.INVALID, ErrorCode.TOO_LARGE})
"""Codes that speak of a passage itself."""


@dataclass(frozen=True)
class _Pending:
    index: int
    document: Document
    content_hash: str
    without_sparse: str
    """Hash of the same when the encoder makes no sparse vector of it."""
    subject: str


@dataclass(frozen=True)
class _Room:
    """Where a request's passages go."""

    collection: str
    record: CollectionRecord | None
    lacking: list[str]
    """What its passages were stored without, filled while they are."""


class Intake:
    """Stores passages in the stream that every retriever follows."""

    def __init__(self, stream: DocStream) -> None:
        self._stream = stream

    async def put(self, request: PutDocuments, stages: Stages) -> PutReply:
        """Store what is new; the reply is sent after the last write was acknowledged.

        One bad document is reported by its position and leaves the others alone.

        Raises:
            NamespaceMismatch: the release's encoder makes vectors, or sparse ones, of another space than the collection's.
            DimensionMismatch: it makes vectors of another dimension; nothing of them was stored.
            BusUnavailable: a write was not acknowledged.
        """
        record = await self._stream.record(request.collection)
        if record is not None:
            check_space(record, stages.release.namespace, record.dimension)
        rejected = list(_problems(request.documents, stages.context.tenant))
        bad = {problem.index for problem in rejected}
        pending = [
            _pending(index, document, request.collection, stages)
            for index, document in enumerate(request.documents)
            if index not in bad
        ]
        known = await asyncio.gather(*(self._stored(item) for item in pending))
        changed = [item for item, stored in zip(pending, known, strict=True) if not stored]
        sequence, lacking = max(known, default=0), list[str]()
        for start in range(0, len(changed), _ENCODE_AT_ONCE):
            batch = changed[start : start + _ENCODE_AT_ONCE]
            room = _Room(request.collection, record, lacking)
            stored = await self._store_or_name(batch, room, stages, rejected)
            sequence = max(sequence, stored)
        refused = len(rejected) - len(bad)
        return PutReply(
            collection=request.collection,
            new=len(changed) - refused,
            unchanged=len(pending) - len(changed),
            rejected=sorted(rejected, key=lambda problem: problem.index),
            sequence=sequence,
            degraded=lacking,
        )

    async def _stored(self, item: _Pending) -> int:
        """Return the stream sequence under which exactly this content is stored, else 0."""
        last = await self._stream.last(item.subject)
        if last is None or (last.headers or {}).get(CONTENT_HASH) != item.content_hash:
            return 0
        return last.seq or 0

    async def _store_or_name(
        self, batch: Sequence[_Pending], room: _Room, stages: Stages, rejected: list[Rejected]
    ) -> int:
        """Store a batch and return its last sequence; halve one that is refused until the bad passage is alone."""
        try:
            return await self._store(batch, room, stages)
        except (DimensionMismatch, NamespaceMismatch):
            raise  # speaks of the collection: it would be said again of each passage
        except TrimtabError as error:
            if error.code not in _REFUSALS:
                raise
            if len(batch) == 1:
                [item] = batch
                bad = Rejected(index=item.index, id=item.document.id, reason=error.detail)
                rejected.append(bad)
                return 0
        middle = len(batch) // 2
        halves = (batch[:middle], batch[middle:])
        return max([await self._store_or_name(half, room, stages, rejected) for half in halves])

    async def _store(self, batch: Sequence[_Pending], room: _Room, stages: Stages) -> int:
        release = stages.release
        encoded = await stages.encode(
            EncodeRequest(
                namespace=release.namespace,
                texts=[_searchable(item.document) for item in batch],
                tokens=True,
                sparse="passage" if stages.sparse else None,
            )
        )
        if stages.sparse and encoded.sparse is None and not room.lacking:
            room.lacking.extend(degraded_put())
        record = room.record or await self._stream.begin(
            CollectionRecord(
                collection=room.collection,
                namespace=release.namespace,
                component=release.encode,
                dimension=encoded.vectors.dim,
                sparse=None if encoded.sparse is None else encoded.sparse.space,
            )
        )
        check_space(record, release.namespace, encoded.vectors.dim)
        if encoded.sparse is not None:
            await self._stream.widen(record, encoded.sparse.space)
        sparse = _sparse_rows(encoded, len(batch))
        writes = []
        for item, vector, tokens, terms in zip(
            batch, *_rows(encoded, len(batch)), sparse, strict=True
        ):
            if terms is None and stages.sparse:
                item = replace(item, content_hash=item.without_sparse)
            passage = IndexedPassage(
                collection=room.collection,
                namespace=release.namespace,
                component=release.encode,
                document=item.document,
                content_hash=item.content_hash,
                vector=vector,
                tokens=tokens,
                sparse=terms,
            )
            writes.append(self._publish(item, encode(passage)))
        return max(await asyncio.gather(*writes))

    async def _publish(self, item: _Pending, body: bytes) -> int:
        return await self._stream.write(
            item.subject, body, entry=Entry.PASSAGE, content_hash=item.content_hash
        )


def content_hash(
    document: Document, collection: str, component: str, *, sparse: bool = False
) -> str:
    """Return the sha256 of everything that decides what is stored, the encoder included.

    A passage with a sparse vector has another one than without: sending it again adds what is missing.
    """
    what = (collection, component, document)
    canonical = msgspec.json.encode((*what, "sparse") if sparse else what, order="deterministic")
    return hashlib.sha256(canonical).hexdigest()


def document_key(tenant: str, name: str) -> str:
    """Return the subject token of a passage: unique within its collection."""
    return hashlib.sha256(f"{tenant}\0{name}".encode()).hexdigest()[:32]


def check_space(record: CollectionRecord, namespace: str, dimension: int) -> None:
    """Refuse vectors that are not of a collection's space.

    Raises:
        NamespaceMismatch: they are of another one.
        DimensionMismatch: they are of another dimension.
    """
    what = f"a passage for collection {record.collection!r}"
    if namespace != record.namespace:
        raise NamespaceMismatch(what, namespace, record.namespace)
    if dimension != record.dimension:
        raise DimensionMismatch(what, dimension, record.dimension)


def _pending(index: int, document: Document, collection: str, stages: Stages) -> _Pending:
    return _Pending(
        index,
        document,
        content_hash(document, collection, stages.release.encode, sparse=stages.sparse),
        content_hash(document, collection, stages.release.encode),
        subjects.document(collection, document_key(document.tenant, document.id)),
    )


def _searchable(document: Document) -> str:
    return f"{document.title}\n{document.text}" if document.title else document.text


def _problems(documents: Sequence[Document], sender: str) -> Iterator[Rejected]:
    """Yield the documents that cannot be stored; who sends without a tenant may write for every tenant."""
    allowed = (sender, PUBLIC_TENANT)
    seen: dict[tuple[str, str], int] = {}
    for index, document in enumerate(documents):
        first = seen.setdefault((document.tenant, document.id), index)
        if not document.text.strip():
            yield Rejected(index=index, id=document.id, reason="text is blank")
        elif sender != PUBLIC_TENANT and document.tenant not in allowed:
            reason = (
                f"its tenant is another one than the sender; leave it out, or say {PUBLIC_TENANT}"
            )
            yield Rejected(index=index, id=document.id, reason=reason)
        elif first != index:
            reason = f"the id stands twice in this request, first at {first}"
            yield Rejected(index=index, id=document.id, reason=reason)


def _rows(reply: EncodeReply, count: int) -> tuple[list[Matrix], list[TokenVectors | None]]:
    vectors = [Matrix.of(row[np.newaxis]) for row in reply.vectors.array()]
    if reply.tokens is None:
        return vectors, [None] * count
    ends = np.cumsum(reply.tokens.counts)
    parts = np.split(reply.tokens.matrix.array(), ends[:-1])
    tokens: list[TokenVectors | None] = [
        TokenVectors(matrix=Matrix.of(part), counts=[len(part)]) for part in parts
    ]
    return vectors, tokens


def _sparse_rows(reply: EncodeReply, count: int) -> list[SparseVectors | None]:
    return [None] * count if reply.sparse is None else [*reply.sparse.apart()]
