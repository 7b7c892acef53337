"""Producer -> gateway -> stream -> retrievers: passages on their way into a collection, and out of it."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from trimtab.contracts.encode import TokenVectors
from trimtab.contracts.message import Message
from trimtab.contracts.retrieve import PUBLIC_TENANT, CollectionName, PassageId
from trimtab.contracts.sparse import SparseSpace, SparseVectors
from trimtab.contracts.tensor import Matrix

MAX_DOCUMENTS = 64
"""Most documents in one request."""

MAX_TEXT_CHARS = 32_768
"""Longest passage, characters."""

MAX_DELETED = 64
"""Most ids, and most articles, in one request to delete."""

MAX_FOUND = 500
"""Most ids in one reply: with the longest ids it still fits a message."""

ArticleName = Annotated[str, Meta(min_length=1, max_length=256)]
"""What passages belong to; one without an article is its own, by its id."""


class Entry(StrEnum):
    """What a message of the stream says, in its header ``Trimtab-Entry``; without one it is a passage."""

    PASSAGE = "passage"
    REMOVED = "removed"
    COLLECTION = "collection"


class Document(Message, frozen=True, kw_only=True):
    """One passage as a producer sends it."""

    id: Annotated[str, Meta(min_length=1, max_length=256)]
    """Unique within tenant and collection; sending it again replaces the passage."""
    text: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT_CHARS)]
    """What is searched and shown."""
    title: Annotated[str, Meta(max_length=512)] = ""
    """Heading; searched together with the text."""
    article: Annotated[str, Meta(max_length=256)] = ""
    """What it belongs to; the id when empty."""
    tenant: Annotated[str, Meta(min_length=1, max_length=64)] = PUBLIC_TENANT
    """Who may find it; ``public`` is everybody."""
    metadata: dict[str, str] = {}
    """Stored and returned, not searched."""


class PutDocuments(Message, frozen=True, kw_only=True):
    """Producer -> gateway (``trimtab.v1.documents``): add or replace passages."""

    collection: CollectionName
    """Where to."""
    documents: Annotated[list[Document], Meta(min_length=1, max_length=MAX_DOCUMENTS)]
    """1 to 64 passages."""


class Rejected(Message, frozen=True, kw_only=True):
    """One passage that was not stored."""

    index: int
    """Position in the request."""
    id: str
    """Its id."""
    reason: str
    """What was wrong and what to do."""


class PutReply(Message, frozen=True, kw_only=True):
    """Gateway -> producer, after every accepted passage is durable in the stream."""

    collection: CollectionName
    """Echo of the request's."""
    new: int
    """Passages stored for the first time or with new content."""
    unchanged: int
    """Passages whose content hash was already stored."""
    rejected: list[Rejected]
    """Those refused, the rest being stored."""
    sequence: int
    """Stream sequence of the last write; a retriever that applied it finds them all."""
    degraded: list[str] = []
    """What the passages were stored without and why, for example ``sparse: no_model``; empty when nothing was."""


class IndexedPassage(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Gateway -> every retriever, through the stream ``TRIMTAB_DOCS``: a passage ready to be searched."""

    collection: CollectionName
    """Where it lives."""
    namespace: str
    """Space of its vectors."""
    component: str
    """Encoder component that made them."""
    document: Document
    """The passage."""
    content_hash: str
    """sha256 of everything above that decides what is stored; equal hash = nothing to do."""
    vector: Matrix
    """(1, dimension) f32, unit length."""
    tokens: TokenVectors | None
    """Token vectors for MaxSim."""
    sparse: SparseVectors | None = None
    """Learned sparse vector of the passage; None without."""


class RemovedPassage(Message, frozen=True, kw_only=True):
    """Gateway -> every retriever, on the passage's own subject: it is gone, and so is what stood there before."""

    collection: CollectionName
    """Where it lived."""
    tenant: Annotated[str, Meta(min_length=1, max_length=64)]
    """Its owner."""
    id: PassageId
    """Unique within tenant and collection."""


class CollectionRecord(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Gateway -> every retriever and gateway, through the stream: what is fixed for a collection, written once.

    It stands before the collection's first passage, by compare-and-set: two gateways cannot begin the
    same collection in two spaces.
    """

    collection: CollectionName
    """Its name."""
    namespace: str
    """Space of all its vectors."""
    component: str
    """Encoder component of its first passage."""
    dimension: Annotated[int, Meta(ge=1)]
    """Of all its vectors."""
    sparse: SparseSpace | None = None
    """Of all its learned sparse vectors; None before the first. Once said, it stays."""


class DeleteDocuments(Message, frozen=True, kw_only=True):
    """Producer -> gateway (``trimtab.v1.documents_delete``): remove passages of the asking tenant.

    The tenant travels in the header; passages of another owner, the public ones included, stay.
    """

    collection: CollectionName
    """Where from."""
    ids: Annotated[list[PassageId], Meta(max_length=MAX_DELETED)] = []
    """Passages to remove."""
    articles: Annotated[list[ArticleName], Meta(max_length=MAX_DELETED)] = []
    """Articles to remove with all their passages."""


class DeleteReply(Message, frozen=True, kw_only=True):
    """Gateway -> producer, after every removal is durable in the stream."""

    collection: CollectionName
    """Echo of the request's."""
    deleted: Annotated[int, Meta(ge=0)]
    """Passages that were there and are gone now."""
    missing: Annotated[int, Meta(ge=0)]
    """Ids and articles asked for that held no passage of the tenant: nothing to do."""
    sequence: Annotated[int, Meta(ge=0)]
    """Stream sequence of the last removal, made now or earlier; a retriever that applied it finds none of them."""


class GetDocument(Message, frozen=True, kw_only=True):
    """Anybody -> gateway (``trimtab.v1.documents_get``): one passage as it is stored, its tenant in the header."""

    collection: CollectionName
    """Where it lives."""
    id: PassageId
    """The tenant's own passage of this id, else the public one."""


class StoredDocument(Message, frozen=True, kw_only=True):
    """Gateway -> whoever asked: the passage, read from the stream and so as new as the last acknowledgement."""

    collection: CollectionName
    """Where it lives."""
    namespace: str
    """Space of its vector."""
    component: str
    """Encoder component that made the vector."""
    content_hash: str
    """sha256 that decides whether sending it again changes anything."""
    sequence: Annotated[int, Meta(ge=1)]
    """Stream sequence of its last change."""
    document: Document
    """The passage."""


class FindPassages(Message, frozen=True, kw_only=True):
    """Gateway -> retriever (``trimtab.v1.passages.<component>``): which passages a tenant's articles have."""

    collection: CollectionName
    """Where to look."""
    articles: Annotated[list[ArticleName], Meta(min_length=1, max_length=MAX_DELETED)]
    """Whose passages."""
    sequence: Annotated[int, Meta(ge=0)]
    """Stream sequence that must be applied first: what was written before is counted."""


class FoundPassages(Message, frozen=True, kw_only=True):
    """Retriever -> gateway."""

    ids: Annotated[list[PassageId], Meta(max_length=MAX_FOUND)]
    """Passages that the tenant itself owns, at most 500."""
    more: bool
    """Whether there are others."""
