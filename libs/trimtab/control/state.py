"""The control state as one process sees it: a reference that a request reads once, at its start.

Read at start, after every reconnect and every 5 s: a KV watch alone is deaf for 13-17 s after a
server restart (measured). Revisions already seen are ignored.
"""

import asyncio
import contextlib
import uuid
from dataclasses import dataclass

import nats.errors
import nats.js.errors
from nats.aio.client import Client as NatsClient
from nats.js.kv import KeyValue

from trimtab.contracts import subjects
from trimtab.contracts.component import ControlState, Release
from trimtab.contracts.errors import NotReady
from trimtab.contracts.message import decode, encode

REREAD_S = 5.0
"""How often the state is read although nothing was heard."""

_FIRST_READ_S = 0.25


@dataclass(frozen=True, slots=True)
class Controls:
    """One revision of the control state; immutable, so a request that holds it is never split."""

    revision: int
    """KV revision."""
    state: ControlState
    """The document."""

    @property
    def release(self) -> Release:
        """The stable release."""
        return self.state.releases[self.state.stable]


async def open_bucket(connection: NatsClient) -> KeyValue:
    """Return the control bucket, made when it is not there: file storage, history 1."""
    js = connection.jetstream()
    try:
        return await js.key_value(subjects.CONTROL_BUCKET)
    except nats.js.errors.BucketNotFoundError:
        return await js.create_key_value(bucket=subjects.CONTROL_BUCKET, history=1)


async def initialise(bucket: KeyValue, release: Release, actor: str) -> Controls:
    """Write the first state unless there is one already; return the one in force."""
    first = ControlState(
        operation=uuid.uuid4().hex,
        stable=release.name,
        releases={release.name: release},
        actor=actor,
        reason="first start",
    )
    with contextlib.suppress(nats.js.errors.KeyWrongLastSequenceError):  # theirs stands
        await bucket.create(subjects.CONTROL_KEY, encode(first))
    return await read(bucket)


async def read(bucket: KeyValue) -> Controls:
    """Read the state.

    Raises:
        NotReady: nobody wrote one yet.
        InvalidMessage: it is not a control state.
    """
    try:
        entry = await bucket.get(subjects.CONTROL_KEY)
    except nats.js.errors.KeyNotFoundError:
        raise NotReady("the control state") from None
    if entry.value is None or entry.revision is None:
        raise NotReady("the control state")
    return Controls(entry.revision, decode(ControlState, entry.value))


class StateReference:
    """Holds the newest controls; :attr:`current` is what a request reads once."""

    def __init__(self) -> None:
        self._controls: Controls | None = None
        self._connection: NatsClient | None = None
        self._rereading: asyncio.Task[None] | None = None

    @property
    def current(self) -> Controls:
        """The controls in force.

        Raises:
            NotReady: none were read yet.
        """
        if self._controls is None:
            raise NotReady("the control state")
        return self._controls

    def apply(self, controls: Controls) -> bool:
        """Take newer controls; older or equal revisions change nothing. Return whether it changed."""
        if self._controls is not None and controls.revision <= self._controls.revision:
            return False
        self._controls = controls
        return True

    async def start(self, connection: NatsClient) -> None:
        """Wait for the first state, then keep reading."""
        self._connection = connection
        while self._controls is None:
            await self.refresh()
            if self._controls is None:
                await asyncio.sleep(_FIRST_READ_S)
        self._rereading = asyncio.create_task(self._reread())

    async def refresh(self) -> None:
        """Read once; a read that fails leaves the last good state in force."""
        if self._connection is None:
            return
        try:
            bucket = await self._connection.jetstream().key_value(subjects.CONTROL_BUCKET)
            self.apply(await read(bucket))
        except (NotReady, nats.errors.Error, nats.js.errors.Error):
            return

    async def stop(self) -> None:
        """Stop reading."""
        if self._rereading is not None:
            self._rereading.cancel()

    async def _reread(self) -> None:
        while True:
            await asyncio.sleep(REREAD_S)
            await self.refresh()
