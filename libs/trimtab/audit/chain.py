"""The hash chain of the audit: linking, verifying, signing. Pure.

Each entry carries the hash of the one before, so an edit, a gap and a reordering break the chain at
a place that is named; a truncated tail is seen against a signed checkpoint kept elsewhere.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from trimtab.contracts.audit import GENESIS, AuditEntry, Checkpoint
from trimtab.contracts.message import encode


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with the audit."""

    number: int
    """Entry at which it shows."""
    problem: str
    """What, for people."""


def entry_hash(entry: AuditEntry) -> str:
    """Return the sha256 of an entry's wire form, hex; the wire form is canonical: fields in order."""
    return hashlib.sha256(encode(entry)).hexdigest()


def verify(entries: Iterable[AuditEntry], checkpoints: Sequence[Checkpoint]) -> list[Fault]:
    """Return everything that is wrong: an empty list means that the chain is whole.

    ``checkpoints`` come from outside the stream: a file, a log, another site.
    """
    faults: list[Fault] = []
    heads: dict[int, str] = {}
    expected, previous = 1, GENESIS
    for entry in entries:
        if entry.number != expected:
            faults.append(Fault(entry.number, f"expected entry {expected}: deleted or reordered"))
        elif entry.previous != previous:
            faults.append(
                Fault(entry.number, "the entry before was edited, or this one was put in its place")
            )
        expected, previous = entry.number + 1, entry_hash(entry)
        heads[entry.number] = previous
    return faults + [fault for point in checkpoints for fault in _check(point, heads)]


def _check(point: Checkpoint, heads: dict[int, str]) -> list[Fault]:
    if not signed(point):
        return [Fault(point.number, "a checkpoint's signature is wrong")]
    if point.number and point.number not in heads:
        return [Fault(point.number, "a checkpoint covers it, the stream ends before: truncated")]
    if point.number and heads[point.number] != point.head:
        return [Fault(point.number, "differs from what a checkpoint signed: edited")]
    return []


def sign(key: SigningKey, number: int, head: str, at: float) -> Checkpoint:
    """Return a signed checkpoint over the chain up to ``number``."""
    signature = key.sign(_message(number, head, at)).signature.hex()
    public = bytes(key.verify_key).hex()
    return Checkpoint(number=number, head=head, at=at, key=public, signature=signature)


def signed(point: Checkpoint) -> bool:
    """Whether a checkpoint's signature fits its content and its own key."""
    try:
        VerifyKey(bytes.fromhex(point.key)).verify(
            _message(point.number, point.head, point.at), bytes.fromhex(point.signature)
        )
    except (BadSignatureError, ValueError):
        return False
    return True


def _message(number: int, head: str, at: float) -> bytes:
    return f"{number}|{head}|{at!r}".encode()
