"""Promise: the kill-switch stops every model call while requests flow, loses no reply, and can be taken back.

Runbook 1 section 2: kill-switch procedures (rules-only mapping).
"""

import time

import pytest

from tests.drills import record
from tests.drills.mapper_itself import model_calls
from tests.drills.steering import acknowledgements, steer
from tests.drills.streaming import streaming
from tests.fleet import SERVICES, Fleet
from trimtab.client import Client
from trimtab.contracts.control import Switch
from trimtab.contracts.mapping import FallbackReason, MappingMode
from trimtab.contracts.orders import KillCommand, RestoreCommand
from trimtab.contracts.pipeline import MapAnswer

pytestmark = pytest.mark.drill

TEXT = "how the user could hurt themselves tonight"


def by_model(answer: MapAnswer) -> bool:
    return answer.answer.mode is MappingMode.HYBRID


async def test_model_calls_stop_under_load_no_reply_is_lost_and_restore_brings_them_back(
    stocked_fleet: Fleet,
) -> None:
    await stocked_fleet.start(*SERVICES)
    everybody = {member.instance for member in stocked_fleet.members}
    async with (
        Client.connect(stocked_fleet.url, name="drill") as client,
        Client.connect(stocked_fleet.url, name="load") as loading,
        acknowledgements(client) as heard,
    ):
        async with streaming(lambda: loading.map(TEXT, timeout_s=20)) as stream:
            await stream.grown(20)
            before = await model_calls(client)

            killed_at = time.time()
            killed = await steer(client, KillCommand(switch=Switch.MAPPER_MODE, value="rules_only"))
            obeyed_at = await heard.applied(killed.revision, everybody)
            during = await model_calls(client)
            await stream.grown(50)
            after = await model_calls(client)

            restored_at = time.time()
            restored = await steer(client, RestoreCommand(switch=Switch.MAPPER_MODE))
            back_at = await heard.applied(restored.revision, everybody)
            await stream.grown(50)
        again = await model_calls(client)

    silent = [reply.answer.answer for reply in stream.after(obeyed_at, restored_at)]
    back = [reply.answer for reply in stream.after(back_at)]
    record.write(
        "kill-switch",
        # Of the kill: a good answer is one that no model had a part in.
        **record.recovery(
            killed_at, obeyed_at, stream.verified(obeyed_at, lambda answer: not by_model(answer))
        ),
        restore_to_last_worker_s=round(back_at - restored_at, 3),
        replies=len(stream.replies),
        lost=stream.lost,
        model_calls_while_killed=after - during,
    )
    assert set(stream.tally.outcomes) == {"ok"}
    assert before > 0
    assert after == during
    assert again > after
    assert {answer.mode for answer in silent} == {MappingMode.RULES_ONLY}
    assert {answer.fallback_reason for answer in silent} == {FallbackReason.KILL_SWITCH}
    assert all(by_model(answer) for answer in back)
