"""Promise: one command returns every answer to the adapter before, while requests flow and none is lost.

Runbook 1 section 5 and runbook 5: rolling an adapter back.
"""

import asyncio
import time
from pathlib import Path

import pytest

from tests.drills import record
from tests.drills.adapters import push, variant
from tests.drills.command_line import trimtab
from tests.drills.steering import acknowledgements, offer, release, steer, stored
from tests.drills.streaming import streaming
from tests.fleet import SERVICES, Fleet
from trimtab.client import Client
from trimtab.contracts.orders import PromoteCommand, StartCanaryCommand
from trimtab.contracts.pipeline import MapAnswer

pytestmark = pytest.mark.drill

TEXT = "how the user could hurt themselves tonight"
NEXT = "safety-head@2"


def adapter(answer: MapAnswer) -> str:
    """Return the adapter that answered, by the mapper's own word: version and content hash."""
    return answer.answer.versions["adapter"]


async def test_one_command_brings_every_answer_back_to_the_adapter_before(
    stocked_fleet: Fleet, tmp_path: Path
) -> None:
    await stocked_fleet.start(*SERVICES)
    everybody = {member.instance for member in stocked_fleet.members}
    async with (
        Client.connect(stocked_fleet.url, name="drill") as client,
        Client.connect(stocked_fleet.url, name="load") as loading,
        acknowledgements(client) as heard,
    ):
        old = await client.map(TEXT, timeout_s=20)
        await push(client, variant(tmp_path, NEXT, confidence=0.9))
        await offer(client, release("next", map=NEXT), NEXT)
        await steer(client, StartCanaryCommand(release="next"))
        promoted = await steer(client, PromoteCommand())
        promoted_at = await heard.applied(promoted.revision, everybody)

        async with streaming(lambda: loading.map(TEXT, timeout_s=20)) as stream:
            await stream.grown(50)
            trigger_at = time.time()
            said = await asyncio.to_thread(trimtab, stocked_fleet, "rollback", "--reason", "drill")
            applied_at = await heard.applied(int(str(said["revision"])), everybody)
            await stream.until(lambda answer: adapter(answer) == adapter(old))
            await stream.grown(50)
            written_at = (await stored(client)).state.at

    between = [reply.answer for reply in stream.after(promoted_at, trigger_at)]
    back = stream.after(applied_at)
    good_at = stream.verified(applied_at, lambda answer: adapter(answer) == adapter(old))
    record.write(
        "adapter-rollback",
        # The command line's own start is part of it: that is what an operator waits for.
        **record.recovery(trigger_at, applied_at, good_at),
        written_to_last_worker_s=round(applied_at - written_at, 3),
        replies=len(stream.replies),
        lost=stream.lost,
    )
    assert {answer.release for answer in between} == {"next"}
    assert {adapter(answer).partition("+")[0] for answer in between} == {NEXT}
    assert {reply.answer.release for reply in back} == {"base"}
    assert {adapter(reply.answer) for reply in back} == {adapter(old)}
    assert {reply.answer.answer.confidence for reply in back} == {old.answer.confidence}
    assert stream.lost == 0
