"""Operator -> gateways: who may call over HTTP, for which tenant, and what. Digests only, never a secret."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from trimtab.contracts.message import Message

MAX_LABEL = 80


class Scope(StrEnum):
    """What a key may do."""

    SEARCH = "search"
    MAP = "map"
    EMBED = "embed"
    WRITE = "write"


class ApiKey(Message, frozen=True, kw_only=True):
    """One key, without its secret."""

    id: Annotated[str, Meta(pattern=r"^[0-9a-f]{12}\Z")]
    """Names the key in lists, logs and the audit; the middle part of what the caller sends."""
    digest: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    """sha256 of the secret: 256 random bits need no slow hash."""
    tenant: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}\Z")]
    """Whose requests these are; the caller cannot choose another."""
    scopes: Annotated[list[Scope], Meta(min_length=1)]
    """What it may do."""
    label: Annotated[str, Meta(max_length=MAX_LABEL)] = ""
    """For people: who has it."""
    created_at: float
    """Unix seconds."""
    expires_at: float | None = None
    """Unix seconds from which it is refused; None: never."""
    per_minute: Annotated[int, Meta(ge=1)] | None = None
    """Requests a minute; None: the gateway's setting."""


class Keyring(Message, frozen=True, kw_only=True):
    """The document under the key ``keys`` of the bucket ``trimtab_keys``."""

    keys: list[ApiKey]
    """Every key that was not revoked, the oldest first; expired ones are dropped at the next write."""


class KeyringChanged(Message, frozen=True, kw_only=True):
    """Operator -> gateways (``trimtab.evt.keys``): read the ring again; a lost one costs two seconds."""
