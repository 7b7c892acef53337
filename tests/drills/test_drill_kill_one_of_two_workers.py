"""Promise: ``kill -9`` of one of two workers of a stage costs only what it held, and a retry succeeds."""

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.drills import record, slow_worker
from tests.drills.asking import Tally, context, until
from tests.fleet import SERVICES, Fleet, Member
from trimtab.bus.caller import Caller
from trimtab.client import Client
from trimtab.contracts.rerank import RerankReply

pytestmark = pytest.mark.drill

HELD = 60
AFTERWARDS = 200
BUDGET_MS = 8_000


async def test_only_requests_that_the_killed_worker_held_fail_and_retries_succeed(
    fleet: Fleet, tmp_path: Path
) -> None:
    killed, survivor = (_slow(fleet, tmp_path / name) for name in ("killed", "survivor"))
    await fleet.ready()

    async with Client.connect(fleet.url, name="drill") as client:
        caller = Caller(client.connection)

        async def ask(request_id: str = "") -> str:
            answer = await caller.call(
                slow_worker.SUBJECT,
                slow_worker.request(),
                RerankReply,
                context(BUDGET_MS, request_id),
            )
            return answer.instance

        ids = [f"held-{number}" for number in range(HELD)]
        calls = {name: asyncio.create_task(ask(name)) for name in ids}
        journals = (tmp_path / "killed", tmp_path / "survivor")
        await until(lambda: sum(len(slow_worker.received(path)) for path in journals) == HELD)
        killed.kill()

        await until_the_server_knows(client, survivor)
        later = Tally()
        await asyncio.gather(*(later.add(ask) for _ in range(AFTERWARDS)))
        await asyncio.wait(calls.values())
        failed = {name for name, call in calls.items() if call.exception() is not None}
        codes = {str(getattr(calls[name].exception(), "code", "")) for name in failed}
        retried = await asyncio.gather(*(ask(f"again-{name}") for name in failed))

    held = set(slow_worker.received(tmp_path / "killed"))
    record.write(
        "kill-one-of-two",
        in_flight=HELD,
        held_by_the_killed=len(held),
        failed=len(failed),
        sent_afterwards=AFTERWARDS,
        failed_afterwards=AFTERWARDS - later.ok,
    )
    assert failed <= held, "a request failed that the killed worker never had"
    assert failed, "the killed worker held nothing"
    assert codes == {"deadline"}
    assert later.outcomes == {"ok": AFTERWARDS}
    assert retried == [survivor.instance] * len(failed)


async def test_searches_go_on_when_one_of_two_encoders_is_killed(stocked_fleet: Fleet) -> None:
    for service in (*SERVICES, "encoder"):
        stocked_fleet.spawn(service, **({"cache_entries": "0"} if service == "encoder" else {}))
    await stocked_fleet.ready()
    api = await stocked_fleet.api()
    callers, searches = 8, 240
    failed: list[int] = []
    numbers = iter(range(searches))

    async with httpx.AsyncClient(base_url=api, timeout=60, trust_env=False) as http:

        async def search(number: int) -> int:
            body = {"text": f"how to open file number {number}", "limit": 1}
            answer = await http.post("/v1/search", json=body, headers={"X-Timeout-Ms": "4000"})
            return answer.status_code

        async def caller() -> None:
            for number in numbers:
                if number == searches // 3:
                    stocked_fleet.of("encoder")[0].kill()
                if await search(number) != 200:
                    failed.append(number)

        await asyncio.gather(*(caller() for _ in range(callers)))
        retried = [await search(number) for number in failed]

    record.write(
        "kill-one-of-two-encoders", searches=searches, in_flight=callers, failed=len(failed)
    )
    assert len(failed) <= callers, "more failed than were in flight when the encoder was killed"
    assert retried == [200] * len(failed)


def _slow(fleet: Fleet, journal: Path) -> Member:
    return fleet.spawn(
        "reranker",
        module=slow_worker.MODULE,
        lanes="100",
        service_ms="1000",
        journal=str(journal),
        max_in_flight="400",
    )


async def until_the_server_knows(client: Client, survivor: Member) -> None:
    """Wait until only the survivor answers health: the killed one's subscriptions are gone."""
    async with asyncio.timeout(30):
        while {s.instance for s in await client.health(window_s=0.1)} != {survivor.instance}:
            pass
