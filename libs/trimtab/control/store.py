"""The two control documents in JetStream KV: read together, written by compare-and-set alone.

A write that timed out may have been applied, so its outcome is read back, never repeated blindly
(measured: one such write in a leader's fall had been applied). Documents carry an operation id and a
time, so what is in force is ours only when it is what we wrote to the last byte: an earlier attempt of
the same operation that arrived late is not, and whoever tries next sees it.
"""

import contextlib
import uuid
from dataclasses import dataclass

import nats.errors
import nats.js.errors
from nats.aio.client import Client as NatsClient
from nats.js.kv import KeyValue

from trimtab.contracts import subjects
from trimtab.contracts.component import Release
from trimtab.contracts.control import ControlState, Hint, KillLane
from trimtab.contracts.errors import BusUnavailable, NotReady, RevisionConflict
from trimtab.contracts.message import Message, decode, encode
from trimtab.control.effective import Controls

NO_KILLS = KillLane(operation="none", kills=[])
"""The lane before anybody killed anything."""


@dataclass
class ControlStore:
    """Reads and writes the documents of one deployment."""

    connection: NatsClient
    """For the hint that follows a write."""
    bucket: KeyValue
    """``trimtab_control``."""

    @classmethod
    async def open(cls, connection: NatsClient, *, create: bool = False) -> "ControlStore":
        """Open the bucket.

        Raises:
            NotReady: there is none and ``create`` is off.
            BusUnavailable: JetStream does not answer.
        """
        js = connection.jetstream(timeout=2)
        try:
            return cls(connection, await js.key_value(subjects.CONTROL_BUCKET))
        except nats.js.errors.BucketNotFoundError:
            if not create:
                raise NotReady("the control state") from None
            made = await js.create_key_value(bucket=subjects.CONTROL_BUCKET, history=1)
            return cls(connection, made)
        except (nats.errors.Error, nats.js.errors.Error):
            raise BusUnavailable("JetStream does not answer; see `trimtab doctor`") from None

    async def initialise(self, release: Release, actor: str) -> Controls:
        """Write the first state unless there is one already; return what is in force."""
        first = ControlState(
            operation=uuid.uuid4().hex,
            stable=release.name,
            releases={release.name: release},
            actor=actor,
            reason="first start",
        )
        with contextlib.suppress(nats.js.errors.KeyWrongLastSequenceError):  # theirs stands
            await self.bucket.create(subjects.CONTROL_KEY, encode(first))
        return await self.read()

    async def read(self) -> Controls:
        """Read both documents.

        Raises:
            NotReady: nobody wrote a state yet.
            BusUnavailable: JetStream does not answer.
            InvalidMessage: a document is not of its form.
        """
        state, state_revision = await self._get(subjects.CONTROL_KEY)
        if state is None:
            raise NotReady("the control state")
        lane, lane_revision = await self._get(subjects.KILL_KEY)
        return Controls(
            decode(ControlState, state),
            state_revision,
            NO_KILLS if lane is None else decode(KillLane, lane),
            lane_revision,
        )

    async def write_state(self, state: ControlState, expected: int) -> int:
        """Write the state over revision ``expected`` and return the new revision.

        Raises:
            RevisionConflict: somebody else wrote first.
            BusUnavailable: JetStream does not answer, and the write was not applied.
        """
        return await self._put(subjects.CONTROL_KEY, state, expected)

    async def write_lane(self, lane: KillLane, expected: int) -> int:
        """Write the kill lane over revision ``expected``; raises as :meth:`write_state`."""
        return await self._put(subjects.KILL_KEY, lane, expected)

    async def hint(self, controls: Controls) -> None:
        """Tell everybody; called only after the write succeeded, so nobody applies a refused value."""
        hint = Hint(
            state=controls.state,
            state_revision=controls.state_revision,
            lane=controls.lane,
            lane_revision=controls.lane_revision,
        )
        with contextlib.suppress(nats.errors.Error):  # the heartbeat and the re-read will tell them
            await self.connection.publish(subjects.HINT, encode(hint))

    async def _get(self, key: str) -> tuple[bytes | None, int]:
        try:
            entry = await self.bucket.get(key)
        except nats.js.errors.KeyNotFoundError:
            return None, 0
        except (nats.errors.Error, nats.js.errors.Error):
            raise BusUnavailable("JetStream does not answer; see `trimtab doctor`") from None
        return entry.value, entry.revision or 0

    async def _put(self, key: str, document: Message, expected: int) -> int:
        written = encode(document)
        try:
            return await self.bucket.update(key, written, last=expected)
        except (nats.errors.Error, nats.js.errors.Error):
            return await self._settle(key, written, expected)

    async def _settle(self, key: str, written: bytes, expected: int) -> int:
        """Find out whether a write whose answer was an error, or lost, is in force."""
        value, revision = await self._get(key)
        if value == written:
            return revision
        if revision == expected:
            raise BusUnavailable("the write was not applied; try again")
        raise RevisionConflict(expected, revision)
