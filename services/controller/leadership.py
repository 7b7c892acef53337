"""Leading: tend the lease, and while it is held beat once a second so that canaries stay leased.

A new leader first writes the state once more under its epoch. Whatever an earlier one still has under
way then loses the race for the revision that it replaces, and nobody who has heard of the new epoch
holds the newest state for a fenced one's.
"""

import asyncio
import contextlib
import uuid

import msgspec
import nats.errors

from trimtab.contracts import subjects
from trimtab.contracts.control import Heartbeat
from trimtab.contracts.errors import TrimtabError
from trimtab.contracts.message import encode
from trimtab.control.effective import Controls
from trimtab.control.feed import ControlFeed
from trimtab.control.lease import RENEW_S, Lease
from trimtab.control.store import ControlStore
from trimtab.telemetry.logs import Logger


class Leadership:
    """One controller's lease and heartbeat."""

    def __init__(self, store: ControlStore, feed: ControlFeed, lease: Lease, log: Logger) -> None:
        self._store = store
        self._feed = feed
        self.lease = lease
        self._log = log
        self._led = False
        self._signed = 0

    async def run(self) -> None:
        """Tend and beat until cancelled."""
        while True:
            await self.beat()
            await asyncio.sleep(RENEW_S)

    async def beat(self) -> None:
        """One round: tend the lease; when we lead, publish the heartbeat."""
        leads = await self.lease.tend()
        if leads != self._led:
            self._led = leads
            self._log.warning(
                "leading" if leads else "following",
                revision=self.lease.epoch,
                detail=self.lease.holder,
            )
        if not (leads and self.lease.held) or not await self._sign():
            return
        controls = self._feed.current
        if controls is None:
            return
        beat = Heartbeat(
            epoch=self.lease.epoch,
            instance=self.lease.instance,
            state_revision=controls.state_revision,
            lane_revision=controls.lane_revision,
        )
        with contextlib.suppress(
            nats.errors.Error
        ):  # no bus, no beat: leases run out, as they must
            await self._store.connection.publish(subjects.HEARTBEAT, encode(beat))

    async def _sign(self) -> bool:
        """Write the state under our epoch unless we did; return whether it is. What it says stays."""
        epoch = self.lease.epoch
        if self._signed == epoch:
            return True
        try:
            found = await self._store.read()
            signed = msgspec.structs.replace(found.state, operation=uuid.uuid4().hex, epoch=epoch)
            if not self.lease.held or self.lease.epoch != epoch:
                return False
            revision = await self._store.write_state(signed, found.state_revision)
        except TrimtabError as error:
            self._log.warning("not_signed_yet", error=type(error).__name__, detail=error.detail)
            return False
        self._signed = epoch
        controls = Controls(signed, revision, found.lane, found.lane_revision)
        await self._store.hint(controls)
        await self._feed.apply(controls)
        return True
