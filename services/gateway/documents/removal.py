"""Documents on their way out: each removal is a message on the passage's own subject, durable before the reply."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from services.gateway.documents.intake import document_key
from services.gateway.documents.stream import DocStream, Overtaken, holds
from trimtab.contracts import subjects
from trimtab.contracts.documents import (
    DeleteDocuments,
    DeleteReply,
    Entry,
    FindPassages,
    FoundPassages,
    RemovedPassage,
)
from trimtab.contracts.message import encode

Find = Callable[[FindPassages], Awaitable[FoundPassages]]
"""Asks a retriever which passages of the asking tenant's an article has."""


@dataclass(frozen=True, slots=True)
class Gone:
    """What became of some passages."""

    deleted: int = 0
    """There before, gone now."""
    missing: int = 0
    """Not there."""
    sequence: int = 0
    """Stream sequence of the last removal that was seen, whoever made it."""

    def __add__(self, other: "Gone") -> "Gone":
        return Gone(
            self.deleted + other.deleted,
            self.missing + other.missing,
            max(self.sequence, other.sequence),
        )


class Removals:
    """Writes removals into the stream that every retriever follows."""

    def __init__(self, stream: DocStream) -> None:
        self._stream = stream

    async def delete(self, request: DeleteDocuments, tenant: str, find: Find) -> DeleteReply:
        """Remove passages and whole articles of ``tenant``; what is not there is counted, and nothing else.

        Raises:
            UnknownCollection: nobody ever ingested under this name.
            BusUnavailable: a removal was not acknowledged; those before it stand, send the request again.
            NoWorkers: articles were named and no retriever can say what they hold.
        """
        if await self._stream.record(request.collection) is None:
            raise await self._stream.unknown(request.collection)
        gone = await self._passages(request.collection, tenant, request.ids)
        for article in dict.fromkeys(request.articles):
            gone += await self._article(request.collection, tenant, article, find)
        return DeleteReply(
            collection=request.collection,
            deleted=gone.deleted,
            missing=gone.missing,
            sequence=gone.sequence,
        )

    async def _article(self, collection: str, tenant: str, article: str, find: Find) -> Gone:
        gone, sequence = Gone(), await self._stream.sequence()
        while True:
            asked = FindPassages(collection=collection, articles=[article], sequence=sequence)
            found = await find(asked)
            part = await self._passages(collection, tenant, found.ids)
            # Somebody else may have removed some of them since: they are no ids that were asked for.
            gone += Gone(part.deleted, 0, part.sequence)
            if not found.more:
                return gone if gone.deleted else Gone(0, 1, gone.sequence)
            sequence = max(sequence, gone.sequence)

    async def _passages(self, collection: str, tenant: str, ids: Sequence[str]) -> Gone:
        each = await asyncio.gather(
            *(self._passage(collection, tenant, name) for name in dict.fromkeys(ids))
        )
        return total(each)

    async def _passage(self, collection: str, tenant: str, name: str) -> Gone:
        subject = subjects.document(collection, document_key(tenant, name))
        removed = encode(RemovedPassage(collection=collection, tenant=tenant, id=name))
        while True:
            last = await self._stream.last(subject)
            sequence = 0 if last is None else last.seq or 0
            if not holds(last):
                return Gone(0, 1, sequence)
            try:
                # Only what was looked up is removed, so that of two deletions one counts it.
                written = await self._stream.write(
                    subject, removed, entry=Entry.REMOVED, after=sequence
                )
            except Overtaken:
                continue
            return Gone(1, 0, written)


def total(each: Iterable[Gone]) -> Gone:
    """Return the sum; nothing gone for none."""
    return sum(each, Gone())
