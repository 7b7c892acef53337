"""Promise: a worker that starts after a kill obeys it before its first reply, with no controller to tell it."""

import asyncio
import time

import httpx
import pytest

from tests.drills import record
from tests.drills.command_line import trimtab
from tests.drills.mapper_itself import MapperItself, model_calls
from tests.drills.steering import acknowledgements, of, steer
from tests.drills.streaming import streaming
from tests.fleet import Fleet, Member
from trimtab.client import Client
from trimtab.contracts.control import Switch
from trimtab.contracts.mapping import FallbackReason
from trimtab.contracts.orders import KillCommand

pytestmark = pytest.mark.drill

TEXT = "how the user could hurt themselves tonight"


async def first_answer(client: Client, gateway: Member, body: dict[str, str]) -> tuple[int, str]:
    """Return status and error code of the first HTTP answer of a gateway that is starting."""
    async with asyncio.timeout(60):
        while not (
            mine := [s for s in await of(client, "gateway") if s.instance == gateway.instance]
        ):
            await asyncio.sleep(0.01)
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        answer = await http.post(f"{mine[0].facts['api_url']}/v1/map", json=body)
    return answer.status_code, answer.json().get("code", "")


async def test_a_worker_that_joins_after_a_kill_never_answers_from_the_time_before(
    stocked_fleet: Fleet,
) -> None:
    fleet = stocked_fleet
    await fleet.start("controller", "encoder", "mapper", "gateway")
    everybody = {member.instance for member in fleet.members}
    async with (
        Client.connect(fleet.url, name="drill") as client,
        Client.connect(fleet.url, name="load") as loading,
        acknowledgements(client) as heard,
    ):
        mapper_itself = await MapperItself.open(loading, TEXT)
        before = await mapper_itself.ask()
        calls_before = await model_calls(client)
        killed = await steer(client, KillCommand(switch=Switch.MAPPER_MODE, value="rules_only"))
        await heard.applied(killed.revision, everybody)
        for controller in fleet.of("controller"):
            controller.kill()

        async with streaming(mapper_itself.ask) as stream:
            joined_at = time.time()
            late = fleet.spawn("mapper")
            first = await stream.until(lambda answer: answer.instance == late.instance)
            await stream.grown(100)
        calls = await model_calls(client, late.instance)

        await asyncio.to_thread(trimtab, fleet, "kill", "pipeline=closed", "--reason", "drill")
        gateway = fleet.spawn("gateway")
        refused = await first_answer(client, gateway, {"output": TEXT})

    replies = [r.answer.message for r in stream.replies if r.answer.instance == late.instance]
    record.write(
        "late-joiner",
        start_to_first_answer_s=round(first.answered_at - joined_at, 3),
        replies_of_the_late_joiner=len(replies),
        its_model_calls=calls,
        lost=stream.lost,
    )
    assert before.message.fallback_reason is None
    assert {reply.fallback_reason for reply in replies} == {FallbackReason.KILL_SWITCH}
    assert (calls_before > 0, calls) == (True, 0)
    assert refused == (503, "disabled")
    assert stream.lost == 0
