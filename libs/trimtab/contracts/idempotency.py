"""Gateway -> gateways: the answer to a request that named itself, in the KV bucket ``trimtab_idempotency``."""

from typing import Annotated

from msgspec import Meta

from trimtab.contracts.message import Message

MAX_KEY_CHARS = 255
"""Longest idempotency key; only its hash is kept."""


class StoredAnswer(Message, frozen=True, kw_only=True):
    """One entry; its key is a hash of tenant, endpoint and idempotency key."""

    digest: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    """sha256 of the request's body: another body under the same key is a conflict."""
    expires_at: float
    """Unix seconds from which it counts as absent."""
    status: Annotated[int, Meta(ge=0, le=599)] = 0
    """HTTP status of the answer; 0 while it is being made."""
    body: bytes = b""
    """JSON of the answer."""
