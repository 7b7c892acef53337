"""Promise: a worker that was frozen during a kill obeys it before it answers anything again."""

import asyncio

import pytest

from tests.drills import record
from tests.drills.steering import steer
from tests.fleet import SERVICES, Fleet
from trimtab.client import Client
from trimtab.contracts.control import KillCommand, Switch
from trimtab.contracts.errors import TrimtabError
from trimtab.contracts.mapping import FallbackReason
from trimtab.contracts.pipeline import MapAnswer

pytestmark = pytest.mark.drill

TEXT = "how the user could hurt themselves tonight"
WAITING = 20


async def test_not_one_reply_comes_from_the_old_state_after_the_thaw(stocked_fleet: Fleet) -> None:
    await stocked_fleet.start(*SERVICES)
    (mapper,) = stocked_fleet.of("mapper")
    async with Client.connect(stocked_fleet.url, name="drill") as client:
        assert (await client.map(TEXT, timeout_s=20)).answer.fallback_reason != "kill_switch"

        mapper.freeze()
        # These wait in the frozen worker's socket, sent before anybody threw the switch.
        waiting = [asyncio.create_task(client.map(TEXT, timeout_s=30)) for _ in range(WAITING)]
        await asyncio.sleep(0.2)
        await steer(client, KillCommand(switch=Switch.MAPPER_MODE, value="rules_only"))
        mapper.thaw()
        later = [asyncio.create_task(client.map(TEXT, timeout_s=30)) for _ in range(WAITING)]
        outcomes = await asyncio.gather(*waiting, *later, return_exceptions=True)

    answers = [outcome for outcome in outcomes if isinstance(outcome, MapAnswer)]
    errors = [outcome for outcome in outcomes if isinstance(outcome, TrimtabError)]
    reasons = {answer.answer.fallback_reason for answer in answers}
    record.write("frozen-during-kill", answers=len(answers), errors=len(errors))
    assert len(answers) + len(errors) == 2 * WAITING
    assert answers
    assert reasons == {FallbackReason.KILL_SWITCH}
