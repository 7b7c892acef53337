"""The audit stream: appended by compare-and-set on its last sequence, never deleted from.

Several writers may append (controllers, and the CLI when it acts directly); each links to the last
entry it read, and the stream refuses an append that is no longer the next.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import nats.errors
import nats.js.errors
from nacl.signing import SigningKey
from nats.aio.client import Client as NatsClient
from nats.js import JetStreamContext
from nats.js.api import RetentionPolicy, StorageType, StreamConfig

from trimtab.audit.chain import entry_hash, sign
from trimtab.contracts.audit import GENESIS, AuditEntry, AuditOutcome, Checkpoint
from trimtab.contracts.errors import BusUnavailable, InvalidMessage
from trimtab.contracts.message import decode, encode
from trimtab.contracts.subjects import AUDIT, AUDIT_STREAM

ATTEMPTS = 8
_EXPECTED = "Nats-Expected-Last-Sequence"


def audit_stream() -> StreamConfig:
    """Stream of the audit: nothing can be deleted or purged through the API."""
    return StreamConfig(
        name=AUDIT_STREAM,
        subjects=[AUDIT],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        deny_delete=True,
        deny_purge=True,
        allow_direct=False,
    )


@dataclass(frozen=True, slots=True)
class Act:
    """What is to be recorded: an entry without its place in the chain."""

    actor: str
    action: str
    outcome: AuditOutcome
    reason: str
    revision: int
    operation: str = ""
    epoch: int = 0
    diff: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()


class Ledger:
    """Appends to and reads from the audit of one deployment."""

    def __init__(self, js: JetStreamContext, via: str) -> None:
        self._js = js
        self._via = via

    @classmethod
    async def open(cls, connection: NatsClient, via: str) -> "Ledger":
        """Open the stream, making it when it is not there."""
        js = connection.jetstream(timeout=2)
        try:
            await js.stream_info(AUDIT_STREAM)
        except nats.js.errors.NotFoundError:
            await js.add_stream(audit_stream())
        return cls(js, via)

    async def append(self, act: Act) -> AuditEntry:
        """Link one act to the chain and store it.

        Raises:
            BusUnavailable: the stream does not take it; nothing may be called recorded.
        """
        for _ in range(ATTEMPTS):
            sequence, last = await self._last()
            entry = self._entry(act, last)
            try:
                await self._js.publish(
                    AUDIT,
                    encode(entry),
                    stream=AUDIT_STREAM,
                    headers={_EXPECTED: str(sequence)},
                )
            except nats.js.errors.APIError:
                continue  # somebody appended meanwhile: link to theirs
            except nats.errors.Error:
                break
            return entry
        raise BusUnavailable("the audit stream does not take the entry; see `trimtab doctor`")

    async def entries(self, first: int = 1) -> AsyncIterator[AuditEntry]:
        """Yield the entries in stored order, from stream sequence ``first``."""
        info = await self._js.stream_info(AUDIT_STREAM)
        for sequence in range(max(first, info.state.first_seq), info.state.last_seq + 1):
            try:
                stored = await self._js.get_msg(AUDIT_STREAM, sequence)
            except nats.js.errors.NotFoundError:
                continue  # the chain's numbers will show the gap
            yield decode(AuditEntry, stored.data or b"")

    async def last_sequence(self) -> int:
        """Return the stream's last sequence; 0 while it is empty."""
        return (await self._js.stream_info(AUDIT_STREAM)).state.last_seq

    async def checkpoint(self, key: SigningKey) -> Checkpoint:
        """Return a signed checkpoint over everything stored now."""
        _, last = await self._last()
        head = GENESIS if last is None else entry_hash(last)
        return sign(key, 0 if last is None else last.number, head, time.time())

    async def _last(self) -> tuple[int, AuditEntry | None]:
        try:
            stored = await self._js.get_last_msg(AUDIT_STREAM, AUDIT)
        except nats.js.errors.NotFoundError:
            return 0, None
        except nats.errors.Error:
            raise BusUnavailable from None
        return stored.seq or 0, decode(AuditEntry, stored.data or b"")

    def _entry(self, act: Act, last: AuditEntry | None) -> AuditEntry:
        return AuditEntry(
            number=1 if last is None else last.number + 1,
            previous=GENESIS if last is None else entry_hash(last),
            at=time.time(),
            actor=act.actor,
            via=self._via,
            action=act.action,
            outcome=act.outcome,
            reason=act.reason,
            operation=act.operation,
            revision=act.revision,
            epoch=act.epoch,
            diff=list(act.diff),
            evidence=list(act.evidence),
        )


def signing_key(path: Path) -> SigningKey:
    """Return the deployment's audit key, made at its first use, readable by its owner only."""
    if path.is_file():
        return SigningKey(bytes.fromhex(path.read_text().strip()))
    path.parent.mkdir(parents=True, exist_ok=True)
    key = SigningKey.generate()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(bytes(key).hex())
    return key


async def keep_checkpoint(ledger: Ledger, key: SigningKey, path: Path) -> Checkpoint:
    """Sign what is stored now and append the checkpoint to a file outside the stream."""
    point = await ledger.checkpoint(key)
    await asyncio.to_thread(_append_line, path, point)
    return point


def read_checkpoints(path: Path) -> list[Checkpoint]:
    """Return the checkpoints of a file; none when there is no file.

    Raises:
        InvalidMessage: a line of it is none.
    """
    if not path.is_file():
        return []
    try:
        lines = [bytes.fromhex(line) for line in path.read_text().split()]
    except ValueError:
        raise InvalidMessage("checkpoint", "a line is not hex; restore the file") from None
    return [decode(Checkpoint, line) for line in lines]


def _append_line(path: Path, point: Checkpoint) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(encode(point).hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
