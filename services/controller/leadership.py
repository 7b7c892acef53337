"""Leading: tend the lease, and while it is held beat once a second so that canaries stay leased."""

import asyncio
import contextlib

import nats.errors

from trimtab.contracts import subjects
from trimtab.contracts.control import Heartbeat
from trimtab.contracts.message import encode
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
        if not (leads and self.lease.held):
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
