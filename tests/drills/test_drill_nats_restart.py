"""Promise: NATS may die and come back; every service reconnects by itself and answers, nothing is restarted."""

import asyncio
import uuid

import httpx
import pytest

from tests.drills import record
from tests.fleet import SERVICES, Fleet
from trimtab.client import Client
from trimtab.contracts.control import Switch
from trimtab.contracts.documents import Document
from trimtab.contracts.errors import TrimtabError
from trimtab.contracts.orders import KillCommand, Order, RestoreCommand

pytestmark = pytest.mark.drill

RECOVERY_S = 60
"""Longest wait for an answer after the restart; it takes well under a second on an idle machine."""


async def test_every_service_answers_again_after_nats_was_killed_and_started(
    stocked_fleet: Fleet,
) -> None:
    fleet = stocked_fleet
    await fleet.start(*SERVICES)
    before = {member.instance: member.pid for member in fleet.members}

    async with (
        Client.connect(fleet.url, name="drill") as client,
        httpx.AsyncClient(base_url=await fleet.api(), timeout=60, trust_env=False) as http,
    ):
        assert (await http.post("/v1/search", json={"text": "warm"})).status_code == 200

        fleet.server.kill()
        without = await http.post("/v1/search", json={"text": "x"}, headers={"X-Timeout-Ms": "500"})
        fleet.server.start()
        began = asyncio.get_running_loop().time()
        refused = await _until_answered(http)
        recovery_s = asyncio.get_running_loop().time() - began
        await fleet.ready()

        await _new_passages_are_found(client)
        await _a_switch_is_obeyed(client)
        mapped = await client.map("hate/threatening", detector="openai-moderation")
        status = await client.status(timeout_s=10)

    record.write("nats-restart", recovery_s=round(recovery_s, 2), refused_meanwhile=refused)
    assert without.status_code in (408, 503)
    assert without.headers["content-type"] == "application/problem+json"
    assert mapped.answer.taxonomy != ["OTHER.Unknown"]
    assert {worker.instance for worker in status.workers if not worker.silent} == set(before)
    assert {m.instance: m.pid for m in fleet.members if m.running} == before


async def _until_answered(http: httpx.AsyncClient) -> int:
    """Search until it is answered; return how often it was not. Every refusal must be a problem."""
    refused = 0
    async with asyncio.timeout(RECOVERY_S):
        while True:
            answer = await http.post("/v1/search", json={"text": "copy a whole directory tree"})
            if answer.status_code == 200:
                return refused
            assert answer.headers["content-type"] == "application/problem+json"
            refused += 1


async def _new_passages_are_found(client: Client) -> None:
    """The retriever follows the stream again: what is put now is found."""
    document = Document(id="after", text="A heron stood beside the weir, waiting for eels.")
    reply = await _retried(client, document)
    await client.wait_searchable(reply, timeout_s=RECOVERY_S)
    found = await client.search("a bird near water", collection="birds", timeout_s=10)
    assert [result.id for result in found.results] == ["after"]


async def _retried(client: Client, document: Document) -> int:
    async with asyncio.timeout(RECOVERY_S):
        while True:
            try:
                reply = await client.put_documents("birds", [document], timeout_s=10)
            except TrimtabError as error:
                if not (error.retryable or error.code == "deadline"):
                    raise
                await asyncio.sleep(0.2)
            else:
                return reply.sequence


async def _a_switch_is_obeyed(client: Client) -> None:
    """Control arrives again: what is switched off now is off, and comes back."""
    await _ordered(client, KillCommand(switch=Switch.RERANKER, value="off"))
    async with asyncio.timeout(RECOVERY_S):
        while "rerank" in (await client.search("x", timeout_s=10)).versions:
            await asyncio.sleep(0.1)
    await _ordered(client, RestoreCommand(switch=Switch.RERANKER))
    async with asyncio.timeout(RECOVERY_S):
        while "rerank" not in (await client.search("x", timeout_s=10)).versions:
            await asyncio.sleep(0.1)


async def _ordered(client: Client, command: KillCommand | RestoreCommand) -> None:
    order = Order(operation=uuid.uuid4().hex, command=command, actor="drill", reason="a drill")
    outcome = await client.order(order, timeout_s=RECOVERY_S)
    assert outcome.status == "written", outcome
