"""What is particular to a route of the facade: how much it takes, who may ask and see, and how it answers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trimtab.contracts.errors import TrimtabError
from trimtab.contracts.keys import Scope

MAX_BODY_BYTES = 8 * 1024 * 1024
"""Largest HTTP body; what must fit one bus message is split or refused later."""


@dataclass(frozen=True)
class Terms:
    """What is particular to a route; most have nothing."""

    max_bytes: int = MAX_BODY_BYTES
    """Largest body."""
    oversize: Callable[[int], TrimtabError] | None = None
    """Error of a larger one, from its size; None: MessageTooLarge."""
    keyed: bool = False
    """Whether ``Idempotency-Key`` is obeyed."""
    asks: Callable[[Any], Scope] | None = None
    """Body -> what the key must be allowed to do, where the endpoint alone does not say it."""
    shows: Callable[[Any], Scope] | None = None
    """Answer -> what the key must be allowed to do to see it."""
    status: Callable[[Any], int] = lambda _answer: 200
    """Answer -> HTTP status."""
