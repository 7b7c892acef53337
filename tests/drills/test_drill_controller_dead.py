"""Promise: with the controller frozen or killed, an operator's kill and restore still reach every worker.

Runbook 1 section 2: the kill-switch needs nobody. Both commands are audited, and a controller that
wakes up does not carry them out again.
"""

import asyncio
import time
from dataclasses import dataclass

import pytest

from tests.drills import record
from tests.drills.command_line import trimtab
from tests.drills.steering import Acknowledgements, acknowledgements, stored
from tests.drills.streaming import Stream, streaming
from tests.fleet import SERVICES, Fleet
from trimtab.audit.chain import verify
from trimtab.audit.ledger import Ledger
from trimtab.client import Client
from trimtab.contracts.pipeline import SearchReply

pytestmark = pytest.mark.drill


@dataclass(frozen=True)
class Said:
    """What the command line said of one command, and when the last worker obeyed it."""

    began_at: float
    applied_at: float
    revision: int
    via: str


async def say(fleet: Fleet, heard: Acknowledgements, *words: str) -> Said:
    """Run a command and wait until every worker but the controller obeys it."""
    workers = {m.instance for m in fleet.members if m.service != "controller"}
    began_at = time.time()
    said = await asyncio.to_thread(trimtab, fleet, *words, "--reason", "drill")
    revision = int(str(said["revision"]))
    return Said(began_at, await heard.applied(revision, workers), revision, str(said["via"]))


async def stop_and_go(
    fleet: Fleet, heard: Acknowledgements, stream: Stream[SearchReply]
) -> tuple[Said, Said, list[str]]:
    """Close the pipeline and open it again; return both, and what was answered in between."""
    closed = await say(fleet, heard, "kill", "pipeline=closed")
    opened = await say(fleet, heard, "restore", "pipeline")
    await stream.grown(5)
    between = stream.after(closed.applied_at, opened.began_at)
    return closed, opened, [reply.answer.release for reply in between]


async def test_a_kill_and_its_restore_reach_every_worker_without_a_controller(
    stocked_fleet: Fleet,
) -> None:
    await stocked_fleet.start(*SERVICES)
    (controller,) = stocked_fleet.of("controller")
    async with (
        Client.connect(stocked_fleet.url, name="drill") as client,
        Client.connect(stocked_fleet.url, name="load") as loading,
        acknowledgements(client) as heard,
        streaming(lambda: loading.search("copy a file", timeout_s=20), 1) as stream,
    ):
        await stream.grown(5)
        controller.freeze()
        frozen = await stop_and_go(stocked_fleet, heard, stream)
        controller.thaw()
        await stocked_fleet.ready()
        await stream.grown(5)
        woken = await stored(client)
        controller.kill()
        dead = await stop_and_go(stocked_fleet, heard, stream)
        ledger = await Ledger.open(client.connection, "drill")
        entries = [entry async for entry in ledger.entries()]

    for name, (closed, opened, _) in {"frozen": frozen, "dead": dead}.items():
        good_at = stream.verified(opened.applied_at, lambda answer: bool(answer.results))
        record.write(
            f"controller-{name}",
            # The command line's own start is part of both: that is what an operator waits for.
            kill_to_last_worker_s=round(closed.applied_at - closed.began_at, 3),
            **record.recovery(opened.began_at, opened.applied_at, good_at),
        )
    assert frozen[2] == dead[2] == [], "a closed pipeline answered"
    assert set(stream.tally.outcomes) == {"ok", "disabled"}
    assert {said.via for said in (*frozen[:2], *dead[:2])} == {"direct"}
    assert woken.lane_revision == frozen[1].revision, "the woken controller wrote again"
    assert [e.action for e in entries if e.via == "direct"] == ["kill", "restore"] * 2
    assert verify(entries, []) == []
