"""Promise: the kill-switch stops every model call while requests flow, loses no reply, and can be taken back.

Runbook 1 section 2: kill-switch procedures (rules-only mapping).
"""

import asyncio
import re
import time

import httpx
import pytest

from tests.drills import record
from tests.drills.asking import Tally
from tests.drills.steering import obeyed, of, steer
from tests.fleet import SERVICES, Fleet
from trimtab.client import Client
from trimtab.contracts.control import KillCommand, RestoreCommand, Switch
from trimtab.contracts.mapping import FallbackReason, MappingMode
from trimtab.contracts.pipeline import MapAnswer

pytestmark = pytest.mark.drill

CALLERS = 4
TEXT = "how the user could hurt themselves tonight"
_CALLS = re.compile(r"^mapper_model_invocations_total\{[^}]*\} ([0-9.e+]+)$", re.MULTILINE)


class Load:
    """Callers that map without a pause and keep every answer."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.tally = Tally()
        self.answers: list[tuple[float, MapAnswer]] = []
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        await asyncio.gather(*(self._call() for _ in range(CALLERS)))

    def stop(self) -> None:
        self._stopped.set()

    async def grown(self, by: int) -> None:
        target = len(self.answers) + by
        async with asyncio.timeout(60):
            while len(self.answers) < target:
                await asyncio.sleep(0.01)

    async def _call(self) -> None:
        while not self._stopped.is_set():
            await self.tally.add(self._once)

    async def _once(self) -> None:
        asked_at = time.monotonic()
        answer = await self._client.map(TEXT, timeout_s=20)
        self.answers.append((asked_at, answer))


async def model_calls(client: Client) -> float:
    """Return how often the mappers' models were called, from their own metrics."""
    total = 0.0
    async with httpx.AsyncClient(trust_env=False) as http:
        for sample in await of(client, "mapper"):
            page = await http.get(f"http://127.0.0.1:{sample.facts['http_port']}/metrics")
            total += sum(float(number) for number in _CALLS.findall(page.text))
    return total


async def test_model_calls_stop_under_load_no_reply_is_lost_and_restore_brings_them_back(
    stocked_fleet: Fleet,
) -> None:
    await stocked_fleet.start(*SERVICES)
    async with (
        Client.connect(stocked_fleet.url, name="drill") as client,
        Client.connect(stocked_fleet.url, name="load") as loading,
    ):
        load = Load(loading)
        running = asyncio.create_task(load.run())
        await load.grown(20)
        before = await model_calls(client)

        thrown_at = time.monotonic()
        killed = await steer(client, KillCommand(switch=Switch.MAPPER_MODE, value="rules_only"))
        await obeyed(client, killed.revision, len(SERVICES))
        apply_s = time.monotonic() - thrown_at
        obeyed_at = time.monotonic()
        during = await model_calls(client)
        await load.grown(50)
        after = await model_calls(client)

        restored_at = time.monotonic()
        restored = await steer(client, RestoreCommand(switch=Switch.MAPPER_MODE))
        await obeyed(client, restored.revision, len(SERVICES))
        back_at = time.monotonic()
        await load.grown(50)
        load.stop()
        await running
        again = await model_calls(client)

    silent = [a for at, a in load.answers if obeyed_at < at < restored_at]
    back = [a for at, a in load.answers if at > back_at]
    record.write(
        "kill-switch",
        replies=len(load.answers),
        lost=sum(load.tally.outcomes.values()) - load.tally.outcomes["ok"],
        seconds_until_all_obey=round(apply_s, 3),
        model_calls_while_killed=after - during,
    )
    assert set(load.tally.outcomes) == {"ok"}
    assert before > 0
    assert after == during
    assert again > after
    assert {a.answer.mode for a in silent} == {MappingMode.RULES_ONLY}
    assert {a.answer.fallback_reason for a in silent} == {FallbackReason.KILL_SWITCH}
    assert {a.answer.mode for a in back} == {MappingMode.HYBRID}
