"""Promise: a worker that was frozen during a kill obeys it before it answers anything again."""

import asyncio
import time

import pytest

from tests.drills import record
from tests.drills.mapper_itself import MapperItself, model_calls
from tests.drills.steering import acknowledgements, steer
from tests.fleet import Fleet
from trimtab.bus.caller import Answer
from trimtab.bus.connection import settle
from trimtab.client import Client
from trimtab.contracts.control import Switch
from trimtab.contracts.errors import TrimtabError
from trimtab.contracts.mapping import FallbackReason, MapReply
from trimtab.contracts.orders import KillCommand

pytestmark = pytest.mark.drill

TEXT = "how the user could hurt themselves tonight"
WAITING = 25
BUDGET_MS = 8_000
FROZEN_S = 1.3
"""Long enough that a worker knows it by its own clock, too short for the server to give it up."""

Outcome = tuple[float, Answer[MapReply] | TrimtabError]


async def asked(itself: MapperItself) -> Outcome:
    """Ask for the model and return when the reply or the error came, and which."""
    try:
        answer: Answer[MapReply] | TrimtabError = await itself.ask(BUDGET_MS)
    except TrimtabError as error:
        answer = error
    return time.time(), answer


async def test_not_one_reply_comes_from_the_old_state_after_the_thaw(stocked_fleet: Fleet) -> None:
    await stocked_fleet.start("controller", "encoder", "mapper", "gateway")
    (mapper,) = stocked_fleet.of("mapper")
    async with (
        Client.connect(stocked_fleet.url, name="drill") as client,
        Client.connect(stocked_fleet.url, name="load") as loading,
        acknowledgements(client) as heard,
    ):
        itself = await MapperItself.open(loading, TEXT)
        before = await itself.ask()
        calls_before = await model_calls(client)

        mapper.freeze()
        # These wait in the frozen worker's socket, sent before anybody threw the switch.
        waiting = [asyncio.create_task(asked(itself)) for _ in range(WAITING)]
        await asyncio.sleep(FROZEN_S)
        await settle(loading.connection)
        killed = await steer(client, KillCommand(switch=Switch.MAPPER_MODE, value="rules_only"))
        thawed_at = time.time()
        mapper.thaw()
        later = [asyncio.create_task(asked(itself)) for _ in range(WAITING)]
        obeyed_at = await heard.applied(killed.revision, {mapper.instance})
        outcomes = await asyncio.gather(*waiting, *later)
        calls_after = await model_calls(client)

    answers = [(at, a.message) for at, a in outcomes if not isinstance(a, TrimtabError)]
    record.write(
        "frozen-during-kill",
        thaw_to_obeyed_s=round(obeyed_at - thawed_at, 3),
        thaw_to_first_answer_s=round(min(at for at, _ in answers) - thawed_at, 3),
        answers=len(answers),
        lost=len(outcomes) - len(answers),
        model_calls_after_the_thaw=calls_after - calls_before,
    )
    assert before.message.fallback_reason is None
    assert {reply.fallback_reason for _, reply in answers} == {FallbackReason.KILL_SWITCH}
    assert calls_after == calls_before > 0
