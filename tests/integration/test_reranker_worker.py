"""A reranker worker over a real nats-server: shipped components served, bad ones refused, requests answered."""

import asyncio
import math
import shutil
from pathlib import Path

import msgspec
import pytest
from nats.aio.client import Client as NatsClient

from services.reranker.app import build
from services.reranker.component import SHIPPED, WEIGHTS, load_component
from services.reranker.ranking import FIRST_CHANGED, rank
from services.reranker.settings import RerankerSettings
from tests.unit.reranker.pools import component, drawn, row
from tests.workers import deployment, running
from trimtab.artifacts.store import ArtifactStore
from trimtab.bus.caller import Caller
from trimtab.bus.local_server import LocalServer
from trimtab.contracts import subjects
from trimtab.contracts.component import Release
from trimtab.contracts.errors import ErrorCode, NoWorkers, RemoteError
from trimtab.contracts.headers import RequestContext, now_ms
from trimtab.contracts.message import decode
from trimtab.contracts.rerank import RerankReply, RerankRequest
from trimtab.contracts.retrieve import Signals
from trimtab.contracts.samples import EndpointSample, Readiness, Sample
from trimtab.control.store import ControlStore
from trimtab.telemetry.metrics import REGISTRY
from trimtab.worker.service import Worker

pytestmark = pytest.mark.integration

FULL, RUNBOOK4 = "mlp-full@2", "mlp-runbook4@1"


def worker(server: LocalServer, home: Path, *components: str, shipped: Path = SHIPPED) -> Worker:
    settings = RerankerSettings(components=list(components or (FULL,)), shipped=shipped)
    return build(deployment(server, home), settings)


async def ask(connection: NatsClient, signals: Signals, reference: str = FULL) -> RerankReply:
    context = RequestContext("r-1", "acme", now_ms() + 10_000, release="base")
    subject = subjects.rerank(reference)
    reply = await Caller(connection).call(
        subject, RerankRequest(signals=signals), RerankReply, context
    )
    assert reply.component == reference
    return reply.message


async def ask_once_served(connection: NatsClient, signals: Signals, reference: str) -> RerankReply:
    """A degraded worker says how it feels before its subscriptions are in place."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await ask(connection, signals, reference)
            except NoWorkers:
                await asyncio.sleep(0.01)


async def test_the_shipped_component_answers_as_its_weights_say(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    expected = rank(drawn(1, 50), load_component(SHIPPED / FULL)).reply

    async with running(worker(nats_server, tmp_path)) as built:
        reply = await ask(connection, drawn(1, 50))

        assert built.identity.readiness == Readiness.READY
        assert built.identity.components == {FULL: load_component(SHIPPED / FULL).content_hash}
    assert reply == expected


async def test_several_components_are_served_side_by_side(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    async with running(worker(nats_server, tmp_path, FULL, RUNBOOK4)):
        full = await ask(connection, drawn(1, 50), FULL)
        runbook4 = await ask(connection, drawn(1, 50), RUNBOOK4)

    assert sorted(full.order) == sorted(runbook4.order) == list(range(50))
    assert full.scores != runbook4.scores


async def test_the_object_store_comes_before_the_shipped_folder(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    stored = component(tmp_path / "trained", "full", FULL)
    await (await ArtifactStore.open(connection)).push(tmp_path / "trained" / FULL)

    async with running(worker(nats_server, tmp_path / "home")) as built:
        assert built.identity.components == {FULL: stored.content_hash}
        assert await ask(connection, drawn(1, 20)) == rank(drawn(1, 20), stored).reply


async def test_a_component_that_cannot_be_trusted_or_found_degrades_only_itself(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    shipped = tmp_path / "components"
    shutil.copytree(SHIPPED, shipped)
    weights = shipped / FULL / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    built = worker(nats_server, tmp_path / "home", FULL, "mlp-none@7", RUNBOOK4, shipped=shipped)

    async with running(built):
        reply = await ask_once_served(connection, drawn(1, 50), RUNBOOK4)
        with pytest.raises(NoWorkers):
            await ask(connection, drawn(1, 50), FULL)

        assert built.identity.readiness == Readiness.DEGRADED
        assert f"{FULL} is not served" in built.identity.reason
        assert "mlp-none@7 is not served" in built.identity.reason
        assert list(built.identity.components) == [RUNBOOK4]
    assert len(reply.order) == 50


async def test_the_component_of_a_release_in_force_is_served_beside_those_of_the_settings(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    release = Release(
        name="four",
        encode="minilm-int8@1",
        retrieve="hybrid@1",
        rerank=RUNBOOK4,
        map="safety-head@1",
        namespace="single_vector.minilm.384.v1",
    )
    await (await ControlStore.open(connection, create=True)).initialise(release, "test")

    async with running(worker(nats_server, tmp_path, FULL)) as built:
        assert set(built.identity.components) == {FULL, RUNBOOK4}
        reply = await ask(connection, drawn(1, 50), RUNBOOK4)

    assert reply == rank(drawn(1, 50), load_component(SHIPPED / RUNBOOK4)).reply


async def test_signals_that_do_not_fit_are_refused_and_the_worker_lives(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    wrong = msgspec.structs.replace(drawn(1, 4), cosine=row([0.5]))
    broken = msgspec.structs.replace(drawn(1, 4), cosine=row([0.5, math.nan, 0.5, 0.5]))

    async with running(worker(nats_server, tmp_path)):
        with pytest.raises(RemoteError) as refusal:
            await ask(connection, wrong)
        reply = await ask(connection, broken)

    assert refusal.value.code == ErrorCode.INVALID
    assert refusal.value.error == "InvalidMessage"
    assert "cosine must be 1x4" in refusal.value.detail
    assert reply.order[-1] == 1


async def test_changed_first_ranks_are_counted_by_release_and_component(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    pools = [drawn(seed, 50 if seed % 2 else 1) for seed in range(20)]
    loaded = load_component(SHIPPED / FULL)
    expected = sum(rank(pool, loaded).reply.first_changed for pool in pools)
    samples = await connection.subscribe(subjects.SAMPLES)

    def counted() -> float:
        labels = {"component": FULL}
        return REGISTRY.get_sample_value("reranker_first_changed_total", labels) or 0.0

    before = counted()
    async with running(worker(nats_server, tmp_path)):
        replies = await asyncio.gather(*(ask(connection, pool) for pool in pools))
    cells: list[EndpointSample] = []
    while sum(cell.outcomes["ok"] for cell in cells) < len(pools):
        cells += decode(Sample, (await samples.next_msg(timeout=10)).data).endpoints

    assert 0 < expected < 20
    assert sum(reply.first_changed for reply in replies) == expected
    assert counted() - before == expected
    assert sum(cell.bad.get(FIRST_CHANGED, 0) for cell in cells) == expected
    assert {(cell.endpoint, cell.component, cell.release) for cell in cells} == {
        ("rerank", FULL, "base")
    }
