"""Who leads: a lease in a bucket of its own whose acquisition revision is the epoch that fences.

Nobody's wall clock is compared with another's: a candidate takes over when it saw no renewal for
``LEASE_S`` on its own monotonic clock, and a leader that could not renew for that long, or was
frozen, stops leading before anybody else can begin.
"""

import time
from dataclasses import dataclass, field

import nats.errors
import nats.js.errors
from nats.aio.client import Client as NatsClient
from nats.js.kv import KeyValue

from trimtab.contracts.control import LeaseDocument
from trimtab.contracts.message import decode, encode
from trimtab.contracts.subjects import LEASE_BUCKET, LEASE_KEY

LEASE_S = 5.0
"""Silence after which another controller takes over."""

RENEW_S = 1.0
"""How often the leader renews."""

_MARGIN_S = 1.0
"""A leader gives up this much before others may take over."""


@dataclass
class Lease:
    """One controller's claim to lead."""

    bucket: KeyValue
    """``trimtab_lease``."""
    instance: str
    """Who claims."""
    epoch: int = 0
    """Revision at which we took it; 0: we never led."""
    holder: str = ""
    """Who leads, as far as we know."""
    _revision: int = 0
    _seen_at: float = field(default_factory=time.monotonic)
    _renewed_at: float = float("-inf")

    @classmethod
    async def open(cls, connection: NatsClient, instance: str) -> "Lease":
        """Open the lease's bucket, making it when it is not there."""
        js = connection.jetstream(timeout=2)
        try:
            bucket = await js.key_value(LEASE_BUCKET)
        except nats.js.errors.BucketNotFoundError:
            bucket = await js.create_key_value(bucket=LEASE_BUCKET, history=1)
        return cls(bucket, instance)

    @property
    def held(self) -> bool:
        """Whether we lead, beyond doubt: renewed recently by our own monotonic clock."""
        return self.epoch > 0 and time.monotonic() - self._renewed_at < LEASE_S - _MARGIN_S

    async def tend(self) -> bool:
        """Renew our lease, or take one that nobody renews; return whether we lead. Call each second."""
        try:
            return await (self._renew() if self.epoch else self._watch())
        except (nats.errors.Error, nats.js.errors.Error):
            return self.held  # the bus is away: we lead on until our own time is over

    async def release(self) -> None:
        """Give the lease up, so that another need not wait."""
        if self.epoch:
            try:
                await self.bucket.update(LEASE_KEY, self._document(free=True), last=self._revision)
            except (nats.errors.Error, nats.js.errors.Error):
                return  # it runs out by itself
            finally:
                self.epoch = 0

    async def _renew(self) -> bool:
        asked_at = time.monotonic()
        try:
            self._revision = await self.bucket.update(
                LEASE_KEY, self._document(), last=self._revision
            )
        except nats.js.errors.KeyWrongLastSequenceError:
            # Somebody took it while we were away: we are fenced out and start again as a candidate.
            self.epoch, self._seen_at = 0, time.monotonic()
            return False
        self._renewed_at = asked_at
        return True

    async def _watch(self) -> bool:
        try:
            entry = await self.bucket.get(LEASE_KEY)
        except nats.js.errors.KeyNotFoundError:
            return await self._take(0)
        lease = decode(LeaseDocument, entry.value or b"")
        revision = entry.revision or 0
        self.holder = lease.instance
        if revision != self._revision:
            self._revision, self._seen_at = revision, time.monotonic()
        silent = time.monotonic() - self._seen_at > LEASE_S
        return await self._take(revision) if lease.free or silent else False

    async def _take(self, revision: int) -> bool:
        asked_at = time.monotonic()
        try:
            self._revision = await self.bucket.update(LEASE_KEY, self._document(), last=revision)
        except nats.js.errors.KeyWrongLastSequenceError:
            return False  # another candidate was quicker
        self.epoch, self.holder, self._renewed_at = self._revision, self.instance, asked_at
        return True

    def _document(self, *, free: bool = False) -> bytes:
        return encode(LeaseDocument(instance=self.instance, epoch=self.epoch, free=free))
