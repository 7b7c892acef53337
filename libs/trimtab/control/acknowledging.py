"""What a worker says of its obedience: once per change, and once for whatever ends by its own clock."""

import time
from dataclasses import dataclass

from nats.aio.client import Client as NatsClient

from trimtab.contracts import subjects
from trimtab.contracts.control import Applied, ApplyStatus
from trimtab.contracts.message import encode
from trimtab.control.heartbeats import STALE_AFTER_S
from trimtab.telemetry.logs import Logger
from trimtab.telemetry.metrics import CONTROL_APPLIED, CONTROL_APPLY_DURATION, CONTROL_REVISION


@dataclass(frozen=True, slots=True)
class Standing:
    """What a worker obeys at one moment."""

    revision: int
    """Newest revision up to which everything is obeyed."""
    hash: str
    """Of the configuration in force."""
    leased: bool
    """Whether a canary may get requests."""
    stale: bool
    """Whether all of it may be old."""


@dataclass
class Acknowledger:
    """One worker's acknowledgements."""

    service: str
    """For the subject and the metrics."""
    instance: str
    """For the subject."""
    log: Logger
    """Told of every change."""
    connection: NatsClient | None = None
    """Set at the start; without a connection nothing is said, and the next reading makes up for it."""
    _announced: str = ""
    _was_stale: bool = False
    _was_leased: bool = False

    async def obeyed(self, now: Standing, apply_ms: float) -> None:
        """Say that everything up to the revision is obeyed, and how many milliseconds it took to."""
        self._announced = now.hash
        CONTROL_REVISION.labels(self.service).set(now.revision)
        CONTROL_APPLY_DURATION.labels(self.service).observe(apply_ms / 1000)
        self.log.warning("control_applied", revision=now.revision, hash=now.hash, took_ms=apply_ms)
        await self._say(ApplyStatus.APPLIED, now.revision, now.hash, apply_ms=apply_ms)

    async def refused(
        self, revision: int, reason: str, now: Standing, apply_ms: float = 0.0
    ) -> None:
        """Say that a revision is not obeyed, and why; what stands stays in force."""
        await self._say(ApplyStatus.REJECTED, revision, now.hash, reason, apply_ms)

    async def watch(self, now: Standing) -> None:
        """Say so when a kill, a setting or the lease ended by our own clock, or it began, or we became stale."""
        began, self._was_leased = now.leased and not self._was_leased, now.leased
        if now.hash != self._announced:
            self._announced = now.hash
            status = ApplyStatus.APPLIED if began else ApplyStatus.EXPIRED
            ended = "a kill, a setting or the canary's lease ended"
            reason = "the canary's lease began" if began else ended
            await self._say(status, now.revision, now.hash, reason)
        if now.stale and not self._was_stale:
            reason = f"no heartbeat for {STALE_AFTER_S:g} s"
            await self._say(ApplyStatus.STALE, now.revision, now.hash, reason)
        self._was_stale = now.stale

    async def _say(
        self,
        status: ApplyStatus,
        revision: int,
        effective_hash: str,
        reason: str = "",
        apply_ms: float = 0.0,
    ) -> None:
        CONTROL_APPLIED.labels(self.service, status).inc()
        if self.connection is None or not self.connection.is_connected:
            return
        applied = Applied(
            service=self.service,
            instance=self.instance,
            revision=revision,
            status=status,
            reason=reason,
            apply_ms=apply_ms,
            effective_hash=effective_hash,
            at=time.time(),
        )
        await self.connection.publish(
            subjects.applied(self.service, self.instance), encode(applied)
        )
