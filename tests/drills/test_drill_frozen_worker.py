"""Promise: a frozen worker (SIGSTOP: its sockets open, nothing answers) costs its share for seconds, not minutes.

Nobody can tell a frozen process from a slow one at once. The server drops it when it misses its pings
(every second, twice); until then requests that went to it end at their own deadline, with a typed error.
"""

import asyncio
import time

import httpx
import pytest

from tests.drills import record
from tests.fleet import SERVICES, Fleet, Member
from trimtab.client import Client
from trimtab.contracts.mapping import FallbackReason

pytestmark = pytest.mark.drill

DEADLINE_MS = 1_000
PATIENCE_S = 2.5
"""Deadline where a stage is frozen that can be done without: shorter than the server needs to drop it."""
WITHOUT_A_FAILURE = 60
"""Searches in a row that must be answered before the drill calls it recovered; half would meet the frozen one."""
RECOVERY_S = 60


async def test_answers_recover_while_one_of_two_encoders_is_frozen_and_after_it_thaws(
    stocked_fleet: Fleet,
) -> None:
    fleet = stocked_fleet
    for service in (*SERVICES, "encoder"):
        fleet.spawn(service, **({"cache_entries": "0"} if service == "encoder" else {}))
    await fleet.ready()
    frozen, other = fleet.of("encoder")

    async with httpx.AsyncClient(base_url=await fleet.api(), timeout=60, trust_env=False) as http:
        await _search(http, -1)
        frozen.freeze()
        lost, seconds = await _until_recovered(http)
        frozen.thaw()
        again = await fleet.ready()
        after = [await _search(http, number) for number in range(WITHOUT_A_FAILURE)]

    record.write("frozen-worker", deadline_ms=DEADLINE_MS, lost=lost, recovered_after_s=seconds)
    assert lost > 0, "no request met the frozen worker: the drill proved nothing"
    assert after == [200] * WITHOUT_A_FAILURE
    assert {_name(frozen), _name(other)} <= {sample.instance for sample in again}


async def test_a_frozen_reranker_costs_the_order_and_not_the_answer(stocked_fleet: Fleet) -> None:
    fleet = stocked_fleet
    await fleet.start(*SERVICES)
    [reranker], [encoder] = fleet.of("reranker"), fleet.of("encoder")

    async with Client.connect(fleet.url, name="drill") as client:
        await client.search("copy a whole directory tree")
        reranker.freeze()
        found = await client.search("copy a whole directory tree", timeout_s=PATIENCE_S)
        reranker.thaw()
        encoder.freeze()
        mapped = await client.map("they threaten everybody", timeout_s=PATIENCE_S)
        encoder.thaw()

    # Both came before the caller's deadline: the client raises otherwise.
    assert found.degraded == ["rerank: deadline"]
    assert found.results[0].id == "shutil.copytree"
    assert mapped.answer.fallback_reason == FallbackReason.TIMEOUT


def _name(member: Member) -> str:
    return member.instance


async def _search(http: httpx.AsyncClient, number: int) -> int:
    body = {"text": f"write line {number} to a file", "limit": 1}
    answer = await http.post("/v1/search", json=body, headers={"X-Timeout-Ms": str(DEADLINE_MS)})
    if answer.status_code != 200:
        assert answer.json()["code"] == "deadline"
    return answer.status_code


async def _until_recovered(http: httpx.AsyncClient) -> tuple[int, float]:
    """Search until many in a row are answered; return failures and seconds to the last of them."""
    began = last_failure = time.monotonic()
    lost = row = number = 0
    async with asyncio.timeout(RECOVERY_S):
        while row < WITHOUT_A_FAILURE:
            number += 1
            if await _search(http, number) == 200:
                row += 1
            else:
                lost, row, last_failure = lost + 1, 0, time.monotonic()
    return lost, round(last_failure - began, 2)
