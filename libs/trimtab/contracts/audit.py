"""What the audit stream holds: one entry per command, refusal, verdict and automatic action."""

from typing import Annotated, Literal

from msgspec import Meta

from trimtab.contracts.message import Message

Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]

AuditOutcome = Literal[
    "written", "unchanged", "dry_run", "refused", "moved", "fired", "cleared", "forced"
]

GENESIS = "0" * 64
"""Hash before the first entry."""


class AuditEntry(Message, frozen=True, kw_only=True):
    """One link of the chain (stream ``TRIMTAB_AUDIT``)."""

    number: Annotated[int, Meta(ge=1)]
    """1, 2, 3, ...: a gap is a loss."""
    previous: Digest
    """Hash of the entry before; of nothing for the first."""
    at: float
    """Unix seconds."""
    actor: str
    """Who: an operator, ``controller``, ``trigger:<name>``."""
    via: str
    """Which process wrote it: a controller's instance, or ``direct``."""
    action: str
    """What: the command's tag, or ``rollout``, ``trigger``, ``lease``."""
    outcome: AuditOutcome
    """What became of it."""
    reason: str
    """Why, in the actor's words, or the interlock's."""
    operation: str
    """Id of the operation; empty for what has none."""
    revision: int
    """Newest control revision afterwards."""
    epoch: int
    """Lease epoch of the writer; 0 for direct writes."""
    diff: list[str]
    """``path: before -> after``."""
    evidence: list[str]
    """What was looked at: interlock findings, guardrail counts and e-values, measured values."""


class Checkpoint(Message, frozen=True, kw_only=True):
    """A signature over the chain up to one entry, kept outside the stream too."""

    number: int
    """Last entry covered."""
    head: Digest
    """Its hash."""
    at: float
    """Unix seconds."""
    key: str
    """Public Ed25519 key, hex."""
    signature: str
    """Ed25519 over ``number|head|at``, hex."""
