"""Promise: a canary is a lease. With the controller dead every worker takes it back by its own clock.

When a controller is there again, the stored weight holds again: nobody had to remember anything.
"""

import asyncio
import time
from pathlib import Path

import pytest

from tests.drills import record
from tests.drills.adapters import push, variant
from tests.drills.steering import acknowledgements, offer, release, steer
from tests.drills.streaming import streaming
from tests.fleet import Fleet
from trimtab.client import Client
from trimtab.contracts.control import ApplyStatus
from trimtab.contracts.orders import StartCanaryCommand

pytestmark = pytest.mark.drill

TEXT = "how the user could hurt themselves tonight"
NEXT = "safety-head@2"
LEASE_S = 5


async def all_leased(client: Client, members: int) -> None:
    """Wait until everybody holds the lease: a worker that has just started lets its first beats pass."""
    async with asyncio.timeout(60):
        hashes: list[str] = []
        while len(hashes) != members or len(set(hashes)) != 1:
            hashes = [sample.effective_hash for sample in await client.health()]


async def test_the_canary_falls_to_nothing_when_the_controller_dies_and_returns_with_the_next(
    stocked_fleet: Fleet, tmp_path: Path
) -> None:
    fleet = stocked_fleet
    fleet.deployment["canary_lease_s"] = str(LEASE_S)
    await fleet.start("controller", "encoder", "mapper", "gateway")
    [controller] = fleet.of("controller")
    workers = {member.instance for member in fleet.members} - {controller.instance}
    async with (
        Client.connect(fleet.url, name="drill") as client,
        Client.connect(fleet.url, name="load") as loading,
        acknowledgements(client) as heard,
        streaming(lambda: loading.map(TEXT, timeout_s=20)) as stream,
    ):
        await push(client, variant(tmp_path, NEXT, confidence=0.9))
        await offer(client, release("next", map=NEXT), NEXT)
        # Forced: nothing retrieves or reranks in this drill, so those stages' interlocks would refuse.
        await steer(client, StartCanaryCommand(release="next", weight_bp=5000), force=True)
        await stream.until(lambda answer: answer.release == "next")
        await all_leased(client, len(fleet.members))

        killed_at = time.time()
        controller.kill()
        expired_at = await heard.said(ApplyStatus.EXPIRED, workers, after=killed_at)
        await stream.grown(100)
        alone_until = time.time()
        fleet.spawn("controller")
        again = await stream.until(lambda answer: answer.release == "next")
        await stream.grown(50)

    alone = stream.after(expired_at, alone_until)
    good_at = stream.verified(expired_at, lambda answer: answer.release == "base")
    record.write(
        "canary-lease",
        lease_s=LEASE_S,
        # Measured from the death: the last heartbeat came up to a second before it.
        **record.recovery(killed_at, expired_at, good_at),
        new_controller_to_canary_s=round(again.answered_at - alone_until, 3),
        replies=len(stream.replies),
        lost=stream.lost,
    )
    assert {reply.answer.release for reply in alone} == {"base"}
    assert stream.lost == 0
