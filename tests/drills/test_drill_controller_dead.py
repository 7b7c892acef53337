"""Promise: with the controller killed, an operator's kill and restore still reach every worker, and are audited."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.drills import record
from tests.drills.steering import obeyed
from tests.fleet import SERVICES, Fleet
from trimtab.audit.chain import verify
from trimtab.audit.ledger import Ledger
from trimtab.client import Client
from trimtab.contracts.errors import ErrorCode, RemoteError

pytestmark = pytest.mark.drill


def trimtab(fleet: Fleet, *words: str) -> dict[str, object]:
    """Run the command line as an operator would."""
    done = subprocess.run(
        [Path(sys.executable).with_name("trimtab"), *words, "--nats", fleet.url, "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TRIMTAB_HOME": str(fleet.home)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said: dict[str, object] = json.loads(done.stdout)
    return said


async def test_a_kill_and_its_restore_reach_every_worker_without_a_controller(
    stocked_fleet: Fleet,
) -> None:
    await stocked_fleet.start(*SERVICES)
    (controller,) = stocked_fleet.of("controller")
    controller.kill()
    await controller.ended()
    async with Client.connect(stocked_fleet.url, name="drill") as client:
        assert (await client.search("copy a file", timeout_s=20)).results

        killed = trimtab(stocked_fleet, "kill", "pipeline=closed", "--reason", "drill")
        took_s = await obeyed(client, int(str(killed["revision"])), len(SERVICES) - 1)
        with pytest.raises(RemoteError) as refused:
            await client.search("copy a file", timeout_s=20)
        restored = trimtab(stocked_fleet, "restore", "pipeline")
        await obeyed(client, int(str(restored["revision"])), len(SERVICES) - 1)
        answered = await client.search("copy a file", timeout_s=20)
        ledger = await Ledger.open(client.connection, "drill")
        entries = [entry async for entry in ledger.entries()]

    record.write("controller-dead", seconds_after_the_command=round(took_s, 3))
    assert (killed["via"], killed["status"]) == ("direct", "written")
    assert refused.value.code == ErrorCode.DISABLED
    assert answered.results
    assert [e.action for e in entries if e.via == "direct"] == ["kill", "restore"]
    assert verify(entries, []) == []
