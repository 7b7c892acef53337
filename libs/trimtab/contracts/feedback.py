"""Producer -> gateway: which passage was the right one; and what gateways tell each other for it and of sessions."""

from typing import Annotated

from msgspec import Meta

from trimtab.contracts.headers import MAX_ID_CHARS
from trimtab.contracts.message import Message
from trimtab.contracts.retrieve import PassageId
from trimtab.contracts.tensor import Matrix

Key = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
"""Hex digest of a tenant and what it names: neither is readable in it."""


class FeedbackRequest(Message, frozen=True, kw_only=True):
    """Producer -> gateway (``trimtab.v1.feedback``): the passage that a person chose among a search's results."""

    request_id: Annotated[str, Meta(min_length=1, max_length=MAX_ID_CHARS)]
    """Of the search, as its reply named it."""
    passage: PassageId
    """Id of the chosen passage."""


class FeedbackReply(Message, frozen=True, kw_only=True):
    """Gateway -> producer: every gateway was told.

    Whether it counts is not said: only a sample of the searches is remembered, and nobody learns of
    a request that was not theirs.
    """

    request_id: str
    """Echo of the request's."""


class PassageChosen(Message, frozen=True, kw_only=True):
    """Gateway -> every gateway (``trimtab.evt.feedback``): the one that remembers the search counts it."""

    search: Key
    """Which search."""
    passage: PassageId
    """Id of the chosen passage."""


class SessionQueried(Message, frozen=True, kw_only=True):
    """Gateway -> every gateway (``trimtab.evt.session``): the next query may come to any of them."""

    session: Key
    """Which session, of which tenant and namespace."""
    vector: Matrix
    """(1, dimension) f32: the query's."""
