"""Retrievers whose collection lives in a Milvus of its own: searched there, shared, killed, away and back."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nats.aio.client import Client as NatsClient

from services.retriever.app import build
from services.retriever.settings import RetrieverSettings
from services.retriever.vectordb.mirror import name_of
from tests.integration.milvus_server import MilvusServer
from tests.unit.retriever import stream
from tests.unit.retriever.corpora import clustered
from tests.workers import deployment, running
from trimtab.bus.local_server import LocalServer
from trimtab.contracts import subjects
from trimtab.contracts.documents import IndexedPassage
from trimtab.contracts.errors import DimensionMismatch, RemoteError
from trimtab.contracts.retrieve import DenseOutage, RetrieveReply
from trimtab.contracts.samples import Readiness
from trimtab.worker.service import Worker

pytestmark = pytest.mark.integration

VECTORS = clustered(np.random.default_rng(1), 300, 12)
BACKENDS = {"docs": "milvus", "*": "memory"}
WITHOUT = (DenseOutage.UNAVAILABLE, DenseOutage.DEADLINE)


def passages(start: int, stop: int, **changes: Any) -> list[IndexedPassage]:
    return [
        stream.message(f"p{i}", VECTORS[i], text=f"word{i}", **changes) for i in range(start, stop)
    ]


@pytest.fixture
def milvus(tmp_path: Path) -> Iterator[MilvusServer]:
    """Asked for before the connection: starting it takes seconds, in which NATS would miss its pings."""
    server = MilvusServer(tmp_path)
    server.start()
    yield server
    server.kill()


def worker(server: LocalServer, home: Path, milvus: MilvusServer, instance: str = "r-1") -> Worker:
    settings = RetrieverSettings(
        instance=instance,
        backends=BACKENDS,
        milvus_uri=milvus.uri,
        milvus_nlist=8,
        milvus_timeout_ms=5000,
    )
    return build(deployment(server, home), settings)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


async def search(
    connection: NatsClient, query: int, *, text: str = "", tenant: str = "public", limit: int = 10
) -> RetrieveReply:
    answer = await stream.ask(connection, VECTORS[query], text=text, tenant=tenant, limit=limit)
    return answer.message


async def found(connection: NatsClient, number: int) -> None:
    """Wait until a passage is found by its vector alone, with nothing missing."""
    async with asyncio.timeout(60):
        while True:
            reply = await search(connection, number)
            if reply.dense is None and reply.hits and reply.hits[0].id == f"p{number}":
                return
            await asyncio.sleep(0.02)


async def test_while_milvus_is_killed_words_answer_others_are_whole_and_nothing_is_lost(
    milvus: MilvusServer, nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    await stream.write(connection, passages(0, 40))
    await stream.write(connection, passages(0, 20, collection="plain"))
    async with running(worker(nats_server, tmp_path, milvus)) as retriever:
        facts = retriever.identity.facts
        assert (facts["index.docs"], facts["index.plain"]) == ("milvus", "flat")
        await found(connection, 30)
        await until(lambda: facts["vectors.docs"] == "ready")
        assert retriever.identity.readiness == Readiness.READY

        milvus.kill()
        lost = await search(connection, 7, text="word9")
        assert lost.dense in WITHOUT
        assert [hit.id for hit in lost.hits] == ["p9"]
        await until(lambda: retriever.identity.readiness == Readiness.DEGRADED)
        plain = await stream.ask(connection, VECTORS[7], collection="plain")
        assert (plain.message.dense, plain.message.hits[0].id) == (None, "p7")
        last = await stream.write(connection, [*passages(40, 60), stream.gone("p3")])
        await stream.applied(retriever, last)
        assert [hit.id for hit in (await search(connection, 0, text="word50")).hits] == ["p50"]

        await asyncio.to_thread(milvus.start)
        await found(connection, 50)
        await until(lambda: retriever.identity.readiness == Readiness.READY)
        everything = await search(connection, 3, limit=100)
        assert {hit.id for hit in everything.hits} == {f"p{n}" for n in range(60) if n != 3}


async def test_tenants_stay_apart_and_wrong_vectors_are_refused_before_milvus_is_asked(
    milvus: MilvusServer, nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    await stream.write(connection, passages(0, 20))
    await stream.write(connection, passages(20, 40, tenant="acme"))
    await stream.write(connection, passages(40, 60, tenant='x"] or true or tenant in ["y'))
    async with running(worker(nats_server, tmp_path, milvus)):
        await found(connection, 5)
        public = await search(connection, 25, limit=100)
        acme = await search(connection, 25, limit=100, tenant="acme")

        assert {hit.id for hit in public.hits} == {f"p{n}" for n in range(20)}
        assert {hit.id for hit in acme.hits} == {f"p{n}" for n in range(40)}
        with pytest.raises(RemoteError) as refused:
            await stream.ask(connection, np.eye(1, 8, dtype=np.float32)[0])
        assert refused.value.reply().error == DimensionMismatch.__name__


async def test_two_workers_share_one_copy_in_milvus(
    milvus: MilvusServer, nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    await stream.write(connection, passages(0, 40))
    async with running(worker(nats_server, tmp_path, milvus, "r-1")) as first:
        await found(connection, 39)
        async with running(worker(nats_server, tmp_path, milvus, "r-2")) as second:
            await until(lambda: second.identity.facts["vectors.docs"] == "ready")
            last = await stream.write(connection, [*passages(40, 50), stream.gone("p3")])
            for each in (first, second):
                await stream.applied(each, last)
            await until(
                lambda: all(w.identity.facts["vectors.docs"] == "ready" for w in (first, second))
            )
            names = {f"p{n}" for n in range(50) if n != 3}
            for number in (39, 45):
                await found(connection, number)
            for _ in range(10):  # either of them answers
                reply = await search(connection, 3, limit=100)
                assert {hit.id for hit in reply.hits} == names
        js = connection.jetstream()
        identity = (await js.stream_info(subjects.DOCS_STREAM)).created
        assert identity is not None
        held = await asyncio.to_thread(count, milvus, name_of("docs", identity.isoformat()))
        assert held == len(names)


async def test_a_worker_killed_while_milvus_was_away_sends_it_all_after_both_are_back(
    milvus: MilvusServer, nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    await stream.write(connection, passages(0, 20))
    async with process(nats_server, tmp_path, milvus) as child:
        await until_served(connection)
        await found(connection, 19)
        milvus.kill()
        await stream.write(connection, [*passages(20, 60), stream.gone("p3")])
        async with asyncio.timeout(60):
            while not (await search(connection, 0, text="word59")).hits:
                await asyncio.sleep(0.02)
        child.send_signal(signal.SIGKILL)
        await child.wait()
    await asyncio.to_thread(milvus.start)

    async with running(worker(nats_server, tmp_path, milvus)):
        await found(connection, 59)
        everything = await search(connection, 3, limit=100)
        assert {hit.id for hit in everything.hits} == {f"p{n}" for n in range(60) if n != 3}


def count(milvus: MilvusServer, name: str) -> int:
    from services.retriever.vectordb.milvus import Milvus, MilvusOptions

    database = Milvus(MilvusOptions(milvus.uri))
    try:
        return database.count(name)
    finally:
        database.close()


@asynccontextmanager
async def process(
    server: LocalServer, home: Path, milvus: MilvusServer
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A retriever as a process of its own, killed at the end if it still runs."""
    environment = {
        **os.environ,
        "TRIMTAB_NATS_URL": server.url,
        "TRIMTAB_HOME": str(home),
        "RETRIEVER_INSTANCE": "r-1",
        "RETRIEVER_BACKENDS": '{"docs": "milvus"}',
        "RETRIEVER_MILVUS_URI": milvus.uri,
        "RETRIEVER_MILVUS_NLIST": "8",
        "RETRIEVER_MILVUS_TIMEOUT_MS": "5000",
    }
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.retriever", env=environment
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def until_served(connection: NatsClient) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                await search(connection, 0)
            except Exception:  # noqa: BLE001 - nobody listens yet, in whatever way that shows
                await asyncio.sleep(0.05)
            else:
                return
