"""What was obeyed last is on disk: a worker that starts while JetStream has no state goes on with it."""

import asyncio
from pathlib import Path

import pytest
from nats.aio.client import Client as NatsClient

from tests.unit.control.documents import controls, kill, state
from trimtab.contracts import subjects
from trimtab.contracts.control import Switch
from trimtab.control.effective import effective
from trimtab.control.feed import ControlFeed
from trimtab.control.store import ControlStore
from trimtab.telemetry import logs

pytestmark = pytest.mark.integration

CLOSED = kill(Switch.PIPELINE, "closed")


def feed(folder: Path) -> ControlFeed:
    return ControlFeed("mapper", "m-0", logs.get("mapper", "m-0"), folder / "last.msgpack")


async def test_the_newest_of_many_changes_at_once_is_obeyed_again_without_jetstream(
    connection: NatsClient, tmp_path: Path
) -> None:
    store = await ControlStore.open(connection, create=True)
    first = controls(state("base"), revision=await store.write_state(state("base"), 0))
    steered = feed(tmp_path)
    await steered.start(connection)
    changes = [
        controls(first.state, *kills, revision=first.state_revision, lane_revision=revision)
        for revision, kills in enumerate([[], [CLOSED]] * 20, start=first.state_revision + 1)
    ]
    await asyncio.gather(*map(steered.apply, changes))
    await steered.stop()
    await connection.jetstream().delete_key_value(subjects.CONTROL_BUCKET)

    again = feed(tmp_path)
    await again.start(connection)
    await again.stop()

    assert again.required == changes[-1]
    assert not effective(again.required, now=0.0).open
