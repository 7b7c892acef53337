"""API keys as callers hold them: ``tt_<id>_<secret>``. Minted once, kept as a digest, compared in constant time."""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

from trimtab.contracts.keys import ApiKey

_TOKEN = re.compile(r"tt_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class Token:
    """What a caller sends; its repr says nothing of the secret."""

    id: str
    """Names the key."""
    digest: str
    """sha256 of the secret."""


def mint() -> tuple[str, Token]:
    """Return a new key as its caller needs it, to be shown once, and as it is kept."""
    name, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    return f"tt_{name}_{secret}", Token(name, _digest(secret))


def parse(text: str) -> Token | None:
    """Return what a caller sent, or None when it is no key."""
    match = _TOKEN.fullmatch(text)
    return Token(match[1], _digest(match[2])) if match else None


def opens(token: Token, key: ApiKey, now: float) -> bool:
    """Whether the token is the key's, and the key not expired at ``now``, unix seconds."""
    same = hmac.compare_digest(token.digest, key.digest)
    return same and (key.expires_at is None or now < key.expires_at)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
