"""Operator -> retriever: the stored vectors of a collection, page by page, for those who build an index of them."""

from typing import Annotated

from msgspec import Meta

from trimtab.contracts.message import Message
from trimtab.contracts.retrieve import CollectionName
from trimtab.contracts.tensor import Matrix

MAX_PAGE = 4096
"""Most vectors in one reply; as many of them as fit a message."""


class VectorsRequest(Message, frozen=True, kw_only=True):
    """Operator -> retriever (``trimtab.v1.vectors.<component>``); the tenant travels in the header."""

    collection: CollectionName
    """Which."""
    after: Annotated[int, Meta(ge=-1)] = -1
    """Passages stored after this stream sequence are wanted: -1 for the first page, then a page's ``last``."""
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE)] = MAX_PAGE
    """Most vectors wanted."""


class VectorsReply(Message, frozen=True, kw_only=True):
    """Retriever -> operator: vectors of all tenants, and ids of those passages that the asking tenant may see."""

    namespace: str
    """Space of the vectors."""
    encoder: str
    """Encoder component of the collection's first passage."""
    passages: Annotated[int, Meta(ge=0)]
    """Passages in the collection now."""
    ids: list[str]
    """The producer's id of each passage; empty where the tenant may not see it."""
    vectors: Matrix
    """(ids, dimension) f32, unit rows, by ascending stream sequence."""
    last: Annotated[int, Meta(ge=-1)]
    """Stream sequence of the last one: where the next page begins."""
    more: bool
    """Whether there are further passages."""
