"""Promise: stopping a busy worker loses nothing. SIGTERM with 200 requests queued: 200 answers, exit code 0."""

import asyncio
from pathlib import Path

import httpx
import numpy as np
import pytest
from nats.aio.msg import Msg

from tests.drills import record, slow_worker
from tests.drills.asking import context, until
from tests.fleet import SERVICES, Fleet
from trimtab.bus.caller import Answer, Caller
from trimtab.client import Client
from trimtab.contracts import subjects
from trimtab.contracts.encode import EncodeReply, EncodeRequest
from trimtab.contracts.errors import NoWorkers
from trimtab.contracts.rerank import RerankReply

pytestmark = pytest.mark.drill

QUEUED = 200
BUDGET_MS = 60_000
NAMESPACE = "single_vector.minilm.384.v1"
ENCODE = subjects.encode("minilm-int8@1")


async def test_a_worker_answers_all_200_queued_requests_before_it_goes(
    fleet: Fleet, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    worker = fleet.spawn(
        "reranker", module=slow_worker.MODULE, max_in_flight=str(QUEUED), journal=str(journal)
    )
    await fleet.ready()

    async with Client.connect(fleet.url, name="drill") as client:
        caller = Caller(client.connection)

        async def ask() -> Answer[RerankReply]:
            return await caller.call(
                slow_worker.SUBJECT, slow_worker.request(), RerankReply, context(BUDGET_MS)
            )

        calls = [asyncio.create_task(ask()) for _ in range(QUEUED)]
        await until(lambda: len(slow_worker.received(journal)) >= 10)
        await client.connection.flush()
        worker.terminate()
        waiting = sum(not call.done() for call in calls)
        answers = await asyncio.gather(*calls, return_exceptions=True)
        code = await worker.ended()
        with pytest.raises(NoWorkers):
            await ask()

    lost = [answer for answer in answers if isinstance(answer, BaseException)]
    record.write("sigterm-busy-worker", queued=QUEUED, waiting=waiting, lost=len(lost))
    assert lost == []
    assert len(set(slow_worker.received(journal))) == QUEUED
    assert waiting > QUEUED // 2, "the worker was not busy when it was asked to stop"
    assert code == 0


async def test_an_encoder_computes_all_200_queued_texts_before_it_goes(
    stocked_fleet: Fleet,
) -> None:
    encoder = stocked_fleet.spawn("encoder", max_in_flight="256", cache_entries="0")
    await stocked_fleet.ready()

    async with Client.connect(stocked_fleet.url, name="drill") as client:
        caller = Caller(client.connection)

        async def ask(number: int) -> EncodeReply:
            request = EncodeRequest(namespace=NAMESPACE, texts=[f"text {number} " * 20])
            return (await caller.call(ENCODE, request, EncodeReply, context(BUDGET_MS))).message

        calls = [asyncio.create_task(ask(number)) for number in range(QUEUED)]
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        await client.connection.flush()
        encoder.terminate()
        waiting = sum(not call.done() for call in calls)
        replies = await asyncio.gather(*calls)
        code = await encoder.ended()

    norms = [float(np.linalg.norm(reply.vectors.array())) for reply in replies]
    record.write("sigterm-busy-encoder", queued=QUEUED, waiting=waiting, lost=QUEUED - len(norms))
    assert np.allclose(norms, 1.0, atol=1e-5)
    assert waiting > QUEUED // 2, "the encoder was not busy when it was asked to stop"
    assert code == 0


async def test_a_gateway_answers_every_http_request_that_it_took(stocked_fleet: Fleet) -> None:
    taken = 60
    for service in SERVICES:
        more = {"max_in_flight": "256"} if service == "encoder" else {}
        stocked_fleet.spawn(service, **more)
    await stocked_fleet.ready()
    api = await stocked_fleet.api()
    seen: list[Msg] = []

    async def count(message: Msg) -> None:
        seen.append(message)

    limits = httpx.Limits(max_connections=taken)
    async with (
        Client.connect(stocked_fleet.url, name="drill") as client,
        httpx.AsyncClient(base_url=api, timeout=60, limits=limits, trust_env=False) as http,
    ):
        # Outside the queue group: a copy of every request that the gateway has begun to work on.
        await client.connection.subscribe(ENCODE, cb=count)
        await client.connection.flush()
        headers = {"X-Timeout-Ms": str(BUDGET_MS)}
        calls = [
            asyncio.create_task(
                http.post("/v1/search", json={"text": f"query {number}"}, headers=headers)
            )
            for number in range(taken)
        ]
        await until(lambda: len(seen) >= taken)
        [gateway] = stocked_fleet.of("gateway")
        gateway.terminate()
        waiting = sum(not call.done() for call in calls)
        answers = await asyncio.gather(*calls)
        code = await gateway.ended()

    record.write("sigterm-busy-gateway", taken=taken, waiting=waiting)
    assert [answer.status_code for answer in answers] == [200] * taken
    assert all(answer.json()["results"] for answer in answers)
    assert waiting > 0, "nothing was in flight when the gateway was asked to stop"
    assert code == 0
