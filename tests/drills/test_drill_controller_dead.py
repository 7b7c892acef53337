"""Promise: with the controller killed, an operator's kill and restore still reach every worker, and are audited.

Runbook 1 section 2: the kill-switch needs nobody.
"""

import asyncio
import time

import pytest

from tests.drills import record
from tests.drills.command_line import trimtab
from tests.drills.steering import acknowledgements
from tests.fleet import SERVICES, Fleet
from trimtab.audit.chain import verify
from trimtab.audit.ledger import Ledger
from trimtab.client import Client
from trimtab.contracts.errors import ErrorCode, RemoteError

pytestmark = pytest.mark.drill


async def test_a_kill_and_its_restore_reach_every_worker_without_a_controller(
    stocked_fleet: Fleet,
) -> None:
    await stocked_fleet.start(*SERVICES)
    (controller,) = stocked_fleet.of("controller")
    controller.kill()
    survivors = {member.instance for member in stocked_fleet.members if member.running}
    async with (
        Client.connect(stocked_fleet.url, name="drill") as client,
        acknowledgements(client) as heard,
    ):
        assert (await client.search("copy a file", timeout_s=20)).results

        killed_at = time.time()
        killed = await asyncio.to_thread(
            trimtab, stocked_fleet, "kill", "pipeline=closed", "--reason", "drill"
        )
        closed_at = await heard.applied(int(str(killed["revision"])), survivors)
        with pytest.raises(RemoteError) as refused:
            await client.search("copy a file", timeout_s=20)
        restored_at = time.time()
        restored = await asyncio.to_thread(trimtab, stocked_fleet, "restore", "pipeline")
        opened_at = await heard.applied(int(str(restored["revision"])), survivors)
        answered = await client.search("copy a file", timeout_s=20)
        good_at = time.time()
        ledger = await Ledger.open(client.connection, "drill")
        entries = [entry async for entry in ledger.entries()]

    record.write(
        "controller-dead",
        # The command line's own start is part of both: that is what an operator waits for.
        kill_to_last_worker_s=round(closed_at - killed_at, 3),
        **record.recovery(restored_at, opened_at, good_at),
    )
    assert (killed["via"], killed["status"]) == ("direct", "written")
    assert refused.value.code == ErrorCode.DISABLED
    assert answered.results
    assert [e.action for e in entries if e.via == "direct"] == ["kill", "restore"]
    assert verify(entries, []) == []
