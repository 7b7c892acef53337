"""Two gateways share what a caller asked before and what was right: whichever of them gets the next request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
from nats.aio.client import Client as NatsClient

from services.controller.app import build as build_controller
from services.controller.settings import ControllerSettings
from tests.integration.made_stages import LAST, MadeStages, vector_of
from tests.integration.test_rollout import command, ended
from tests.unit.control.documents import release
from tests.workers import deployment, running
from trimtab.bus.ending import end
from trimtab.bus.local_server import LocalServer
from trimtab.client import Client
from trimtab.contracts import subjects
from trimtab.contracts.control import Phase
from trimtab.contracts.message import decode
from trimtab.contracts.orders import CreateReleaseCommand, StartCanaryCommand
from trimtab.contracts.samples import EndpointSample, Sample
from trimtab.control.store import ControlStore
from trimtab.worker.service import Worker

pytestmark = pytest.mark.integration

ON = release("base", "made@1")
OFF = release("plain", None)
POLICIES = Path(__file__).parents[2] / "deploy" / "policies"


@dataclass
class Fleet:
    """Two gateways before one set of stages."""

    stages: MadeStages
    gateways: list[Worker]

    async def search(
        self, text: str, *, session: str | None, at: int = 0, tenant: str = "acme"
    ) -> str:
        """Ask one gateway over HTTP; returns the request's id."""
        body = {"text": text} | ({"session": session} if session else {})
        answer = await self._post(at, "/v1/search", body, tenant)
        return str(answer["request_id"])

    async def choose(self, request_id: str, passage: str, *, at: int, tenant: str = "acme") -> None:
        body = {"request_id": request_id, "passage": passage}
        assert await self._post(at, "/v1/feedback", body, tenant) == {"request_id": request_id}

    def seen(self) -> np.ndarray | None:
        """What the retriever was last told of the session."""
        session = self.stages.asked[-1].session
        return None if session is None else session.array()[0]

    async def _post(
        self, at: int, path: str, body: dict[str, str], tenant: str
    ) -> dict[str, object]:
        url = str(self.gateways[at].identity.facts["api_url"])
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as http:
            answer = await http.post(path, json=body, headers={"X-Tenant-ID": tenant})
        assert answer.status_code == 200, answer.text
        found: dict[str, object] = answer.json()
        return found


@asynccontextmanager
async def fleet(server: LocalServer, home: Path) -> AsyncIterator[Fleet]:
    stages = MadeStages(server, home, ON)
    gateways = [stages.gateway(f"gateway-{number}") for number in range(2)]
    async with AsyncExitStack() as stack:
        for worker in (*stages.workers(), *gateways):
            await stack.enter_async_context(running(worker))
        yield Fleet(stages, gateways)


@pytest.fixture
async def stable(connection: NatsClient) -> None:
    """A control state without a controller."""
    await (await ControlStore.open(connection, create=True)).initialise(ON, "test")


async def chosen(inbox: "asyncio.Queue[Sample]", count: int) -> list[EndpointSample]:
    """Return what the gateways' samples say of choices, once they say it of so many."""
    found: list[EndpointSample] = []
    async with asyncio.timeout(60):
        while sum(cell.outcomes["ok"] for cell in found) < count:
            sample = await inbox.get()
            found += [cell for cell in sample.endpoints if cell.endpoint == "chosen"]
    return found


async def samples(connection: NatsClient) -> "asyncio.Queue[Sample]":
    inbox: asyncio.Queue[Sample] = asyncio.Queue()

    async def heard(message: object) -> None:
        inbox.put_nowait(decode(Sample, message.data))  # type: ignore[attr-defined]

    await connection.subscribe(subjects.SAMPLES, cb=heard)
    await connection.flush()
    return inbox


@pytest.mark.usefixtures("stable")
async def test_the_next_query_of_a_session_carries_the_ones_before_whichever_gateway_gets_it(
    nats_server: LocalServer, tmp_path: Path
) -> None:
    async with fleet(nats_server, tmp_path) as asked:
        await asked.search("first", session="s-1", at=0)
        assert asked.seen() is None

        await asked.search("second", session="s-1", at=1)
        assert asked.seen() == pytest.approx(vector_of("first"), abs=1e-6)

        await asked.search("third", session="s-1", at=0)
        mean = vector_of("first") + vector_of("second")
        assert asked.seen() == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)


@pytest.mark.usefixtures("stable")
async def test_a_session_is_nobody_elses_and_without_one_nothing_is_told(
    nats_server: LocalServer, tmp_path: Path
) -> None:
    async with fleet(nats_server, tmp_path) as asked:
        await asked.search("first", session="s-1")

        for other in ("globex", "acme"):
            await asked.search(
                "second", session="s-1" if other == "globex" else "s-2", tenant=other
            )
            assert asked.seen() is None
        await asked.search("third", session=None)
        assert asked.seen() is None


@pytest.mark.usefixtures("stable")
async def test_a_session_is_sent_over_nats_too(nats_server: LocalServer, tmp_path: Path) -> None:
    async with (
        fleet(nats_server, tmp_path) as asked,
        Client.connect(nats_server.url, name="test") as client,
    ):
        await client.search("first", session="s-1")
        reply = await client.search("second", session="s-1")

        assert asked.seen() == pytest.approx(vector_of("first"), abs=1e-6)
        assert reply.degraded == []


@pytest.mark.usefixtures("stable")
async def test_a_choice_told_to_one_gateway_counts_where_the_search_is_remembered(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    inbox = await samples(connection)
    async with (
        fleet(nats_server, tmp_path) as asked,
        Client.connect(nats_server.url, name="test") as client,
    ):
        first = await asked.search("first", session=None, at=0)
        second = await asked.search("second", session=None, at=0)
        await asked.choose(first, "p0", at=1, tenant="globex")  # not theirs: counts for nothing
        await asked.choose(first, LAST, at=1)
        await asked.choose(first, "p0", at=1)  # the first choice counts
        await client.feedback(second, "p0", tenant="acme")
        found = await chosen(inbox, 2)

    bad = sum((cell.bad.get("chosen_not_first", 0) for cell in found), 0)
    assert (sum(cell.outcomes["ok"] for cell in found), bad) == (2, 1)
    assert {(cell.release, cell.role, cell.component) for cell in found} == {
        ("base", "stable", "made@1")
    }


async def test_the_arms_of_an_experiment_are_counted_apart_and_the_worse_one_is_taken_back(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    """Runbook 5: a tenth of the requests without a reranker, which here is always right."""
    inbox = await samples(connection)
    await (await ControlStore.open(connection, create=True)).initialise(ON, "test")
    settings = ControllerSettings(instance="c-0", policies=POLICIES)
    async with (
        running(build_controller(deployment(nats_server, tmp_path), settings)),
        fleet(nats_server, tmp_path) as asked,
    ):
        await command(connection, CreateReleaseCommand(release=OFF))
        start = StartCanaryCommand(release="plain", policy="ab-reranker")
        await command(connection, start, force=True, reason="made stages")
        people = asyncio.create_task(_people(nats_server.url))
        canary = await ended(asked.gateways[0])
        await end(people)
        stable = asked.gateways[0].controls.required.state.stable

    arms: dict[str, dict[str, int]] = {}
    while not inbox.empty():
        for cell in (each for each in inbox.get_nowait().endpoints if each.endpoint == "chosen"):
            arm = arms.setdefault(cell.release, {"ok": 0, "bad": 0})
            arm["ok"] += cell.outcomes["ok"]
            arm["bad"] += cell.bad.get("chosen_not_first", 0)
    assert (canary.phase, stable) == (Phase.ROLLED_BACK, "base")
    assert "chosen passage not first" in canary.cause
    assert set(arms) == {"base", "plain"}
    assert arms["base"]["bad"] == 0 < arms["base"]["ok"]
    assert arms["plain"]["bad"] == arms["plain"]["ok"] > 0


async def _people(url: str) -> None:
    """Search for ever; what a person wants is what the reranker puts first."""
    async with Client.connect(url, name="people") as client:
        number = 0
        while True:
            number += 1
            reply = await client.search(f"question {number}")
            await client.feedback(reply.request_id, LAST)
