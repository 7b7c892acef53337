"""Producer -> gateway -> stream -> retrievers: passages on their way into a collection."""

from typing import Annotated

from msgspec import Meta

from trimtab.contracts.encode import TokenVectors
from trimtab.contracts.message import Message
from trimtab.contracts.retrieve import PUBLIC_TENANT, CollectionName
from trimtab.contracts.tensor import Matrix

MAX_DOCUMENTS = 64
"""Most documents in one request."""

MAX_TEXT_CHARS = 32_768
"""Longest passage, characters."""


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


class IndexedPassage(Message, frozen=True, kw_only=True):
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
