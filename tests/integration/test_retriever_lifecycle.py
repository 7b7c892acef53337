"""A retriever's state through restarts: its own, the server's, and those that nobody planned."""

import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from nats.aio.client import Client as NatsClient

from services.retriever.dense.snapshot import INDEX
from services.retriever.passages import follower
from services.retriever.passages.loading import snapshots_of
from services.retriever.passages.store import FILE, Store
from services.retriever.settings import RetrieverSettings
from services.retriever.statefolder import StateInUse
from tests.unit.retriever import stream
from tests.unit.retriever.corpora import PLAN, clustered, unit
from tests.unit.retriever.test_placing import Device
from tests.workers import running
from trimtab.bus.local_server import LocalServer
from trimtab.contracts import subjects
from trimtab.contracts.documents import IndexedPassage
from trimtab.contracts.errors import NoWorkers, RemoteError
from trimtab.contracts.samples import Readiness
from trimtab.telemetry.metrics import REGISTRY

pytestmark = pytest.mark.integration

RNG = np.random.default_rng(1)
VECTORS = clustered(RNG, 500, 20)
IVF_FROM_200 = msgspec.structs.replace(
    PLAN, dense=msgspec.structs.replace(PLAN.dense, flat_below=200)
)


def passages(start: int, stop: int) -> list[IndexedPassage]:
    return [stream.message(f"p{i}", VECTORS[i]) for i in range(start, stop)]


def refused(cause: str) -> float:
    samples = REGISTRY.get_sample_value("retriever_snapshot_refused_total", {"cause": cause})
    return samples or 0.0


async def test_a_restarted_worker_reads_only_what_it_has_not_applied(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    await stream.write(connection, passages(0, 30))
    async with running(stream.worker(nats_server, tmp_path)):
        pass
    js = connection.jetstream()
    await js.purge_stream(subjects.DOCS_STREAM)  # whoever reads from the start finds nothing now
    last = await stream.write(connection, passages(30, 33))

    async with running(stream.worker(nats_server, tmp_path)) as worker:
        assert worker.identity.facts["passages"] == 33
        assert worker.identity.facts["applied_sequence"] == last
        assert (await stream.found(connection, VECTORS[3]))[0] == "p3"
        assert (await stream.found(connection, VECTORS[32]))[0] == "p32"


async def test_a_fresh_worker_replays_everything_and_two_keep_apart(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    await stream.write(connection, passages(0, 20))
    async with running(stream.worker(nats_server, tmp_path, "retriever-1")) as first:
        async with running(stream.worker(nats_server, tmp_path, "retriever-2")) as second:
            last = await stream.write(connection, passages(20, 25))
            await stream.applied(first, last)
            await stream.applied(second, last)

            assert first.identity.facts["passages"] == second.identity.facts["passages"] == 25
        with pytest.raises(StateInUse, match="retriever-1 is in use"):
            stream.worker(nats_server, tmp_path, "retriever-1")


async def test_a_worker_without_a_name_takes_the_first_free_folder(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    async with (
        running(stream.worker(nats_server, tmp_path, "")) as first,
        running(stream.worker(nats_server, tmp_path, "")) as second,
    ):
        assert first.identity.instance == "retriever-0"
        assert second.identity.instance == "retriever-1"
    async with running(stream.worker(nats_server, tmp_path, "")) as third:
        assert third.identity.instance == "retriever-0"


async def test_passages_arrive_after_the_server_was_killed_and_started_again(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    await stream.write(connection, passages(0, 10))
    async with running(stream.worker(nats_server, tmp_path)) as worker:
        nats_server.kill()
        nats_server.start()
        async with asyncio.timeout(20):
            while not connection.stats["reconnects"]:
                await asyncio.sleep(0.01)
        last = await stream.write(connection, passages(10, 20))
        await stream.applied(worker, last)

        assert worker.identity.readiness == Readiness.READY
        assert worker.identity.facts["passages"] == 20
        assert (await stream.found(connection, VECTORS[15]))[0] == "p15"


async def test_a_consumer_that_is_deleted_is_made_anew_without_a_gap(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    await stream.write(connection, passages(0, 5))
    async with running(stream.worker(nats_server, tmp_path)) as worker:
        js = connection.jetstream()
        for consumer in await js.consumers_info(subjects.DOCS_STREAM):
            await js.delete_consumer(subjects.DOCS_STREAM, consumer.name)
        last = await stream.write(connection, passages(5, 40))
        await stream.applied(worker, last)

        assert worker.identity.facts["passages"] == 40


async def test_another_stream_under_the_same_name_replaces_everything(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    await stream.write(connection, passages(0, 50))
    async with running(stream.worker(nats_server, tmp_path)) as worker:
        await connection.jetstream().delete_stream(subjects.DOCS_STREAM)
        last = await stream.write(connection, passages(100, 103))
        async with asyncio.timeout(20):
            while worker.identity.facts["passages"] != 3:
                await asyncio.sleep(0.02)

        assert worker.identity.facts["applied_sequence"] == last
        assert sorted(await stream.found(connection, VECTORS[0])) == ["p100", "p101", "p102"]
        async with asyncio.timeout(5):
            while worker.identity.readiness != Readiness.READY:
                await asyncio.sleep(0.01)


async def test_a_collection_that_outgrows_flat_gets_an_ivf_index_while_it_is_searched(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    shipped = stream.component(tmp_path / "shipped", IVF_FROM_200)
    await stream.write(connection, passages(0, 150))
    async with running(stream.worker(nats_server, tmp_path, shipped=shipped)) as worker:
        assert worker.identity.facts["index.docs"] == "flat"
        last = await stream.write(connection, passages(150, 300))
        await stream.applied(worker, last)
        async with asyncio.timeout(20):
            while (worker.identity.facts["index.docs"]) != "ivf":
                assert (await stream.found(connection, VECTORS[7]))[0] == "p7"
        assert int(worker.identity.facts["nlist.docs"]) >= 14  # from 200 passages on
        assert float(worker.identity.facts["imbalance.docs"]) >= 1.0
        last = await stream.write(connection, [stream.message("new", unit(RNG, 1)[0])])
        await stream.applied(worker, last)
        found = [
            (await stream.found(connection, VECTORS[number], limit=1))[0]
            for number in range(0, 300, 37)
        ]

    assert found == [f"p{number}" for number in range(0, 300, 37)]


def on_device(collection: str) -> float | None:
    labels = {"collection": collection, "component": "hybrid@1"}
    return REGISTRY.get_sample_value("retriever_index_on_device", labels)


async def test_a_worker_says_gpu_only_while_a_gpu_searches_an_index(
    nats_server: LocalServer,
    connection: NatsClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.retriever.app.device", lambda _wanted: Device())
    shipped = stream.component(tmp_path / "shipped", IVF_FROM_200)
    few = [stream.message(f"p{i}", VECTORS[i], collection="few") for i in range(50)]
    await stream.write(connection, few)
    async with running(stream.worker(nats_server, tmp_path, shipped=shipped)) as worker:
        facts = worker.identity.facts
        async with asyncio.timeout(60):
            while "device.few.hybrid@1" not in facts:
                await asyncio.sleep(0.01)
        alone = facts["device"]
        await stream.applied(worker, await stream.write(connection, passages(0, 300)))
        async with asyncio.timeout(60):
            while facts["device"] != "gpu":
                await asyncio.sleep(0.01)

        assert alone == "cpu"
        assert str(facts["device.few.hybrid@1"]).startswith("cpu: fewer than 200 passages")
        assert facts["device.docs.hybrid@1"] == "gpu"
        assert (on_device("few"), on_device("docs")) == (0.0, 1.0)
        assert await stream.found(connection, VECTORS[7], limit=1) == ["p7"]


@pytest.mark.parametrize("damage", ["bit", "truncated", "manifest", "golden", "none"])
async def test_a_damaged_snapshot_is_refused_counted_and_the_answers_are_right_all_the_same(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path, damage: str
) -> None:
    shipped = stream.component(tmp_path / "shipped", IVF_FROM_200)
    await stream.write(connection, passages(0, 250))
    async with running(stream.worker(nats_server, tmp_path, shipped=shipped)):
        pass
    before = refused("checksum")
    (snapshot,) = snapshots_of(tmp_path / "retriever" / "retriever-1", "docs", "hybrid@1").iterdir()
    index = snapshot / INDEX
    data = bytearray(index.read_bytes())
    match damage:
        case "bit":
            data[len(data) // 2] ^= 0x10
            index.write_bytes(data)
        case "truncated":
            index.write_bytes(data[:-9])
        case "manifest":
            (snapshot / "manifest.json").unlink()
        case "golden":
            (snapshot / "golden.json").write_text("{}")
        case _:
            pass

    async with running(stream.worker(nats_server, tmp_path, shipped=shipped)) as worker:
        assert worker.identity.facts["index.docs"] == "ivf"
        for number in range(0, 250, 31):
            assert (await stream.found(connection, VECTORS[number], limit=1)) == [f"p{number}"]

    assert refused("checksum") - before == (0 if damage == "none" else 1)


async def test_a_store_that_is_no_database_is_set_aside_and_read_again_from_the_stream(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    await stream.write(connection, passages(0, 12))
    async with running(stream.worker(nats_server, tmp_path)):
        pass
    state = tmp_path / "retriever" / "retriever-1"
    (state / FILE).write_bytes(b"not a database, not at all " * 100)

    async with running(stream.worker(nats_server, tmp_path)) as worker:
        assert worker.identity.facts["passages"] == 12
        assert (await stream.found(connection, VECTORS[4]))[0] == "p4"

    assert [path for path in state.iterdir() if "unusable" in path.name]


async def test_a_store_that_cannot_be_written_degrades_the_worker_until_it_can(
    nats_server: LocalServer,
    connection: NatsClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await stream.write(connection, passages(0, 5))
    async with running(stream.worker(nats_server, tmp_path)) as worker:
        original, failures = Store.apply, iter(range(2))
        said: list[str] = []

        def full(self: Store, *arguments: Any) -> Any:
            if next(failures, None) is not None:
                raise sqlite3.OperationalError("database or disk is full")
            said.append(worker.identity.reason)
            return original(self, *arguments)

        monkeypatch.setattr(Store, "apply", full)
        monkeypatch.setattr(follower, "_RETRY_S", 0.05)
        last = await stream.write(connection, passages(5, 8))
        await stream.applied(worker, last)

        assert said[0] == "the passage store cannot be written; is the disk full?"
        assert worker.identity.facts["passages"] == 8
        assert worker.identity.readiness == Readiness.READY
        assert (await stream.found(connection, VECTORS[6]))[0] == "p6"


@asynccontextmanager
async def process(
    server: LocalServer, home: Path, connection: NatsClient
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A retriever as its own process, entered once it answers."""
    environment = {
        **os.environ,
        "TRIMTAB_NATS_URL": server.url,
        "TRIMTAB_HOME": str(home),
        "RETRIEVER_INSTANCE": "retriever-1",
        "PYTHONPATH": os.pathsep.join([".", "libs"]),
    }
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.retriever", env=environment,
        stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            while not await _answers(connection):
                assert started.returncode is None
                await asyncio.sleep(0.02)
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()


async def _answers(connection: NatsClient) -> bool:
    try:
        await stream.ask(connection, VECTORS[0])
    except NoWorkers:
        return False
    except RemoteError as error:
        return error.error == "UnknownCollection"
    return True


async def test_kill_9_in_the_middle_of_an_ingest_loses_no_passage(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    await stream.write(connection, passages(0, 5))
    async with process(nats_server, tmp_path, connection) as first:
        writing = asyncio.create_task(stream.write(connection, passages(5, 400)))
        async with asyncio.timeout(20):
            while len(await stream.found(connection, VECTORS[0], limit=100)) < 100:
                await asyncio.sleep(0.005)
        first.kill()
        await first.wait()
        await writing

    async with process(nats_server, tmp_path, connection) as second:
        found = [
            (await stream.found(connection, VECTORS[number], limit=1))[0] for number in range(400)
        ]
        assert found == [f"p{number}" for number in range(400)]

        second.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(second.wait(), 20) == 0


def test_settings_refuse_a_variable_they_do_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRIEVER_NPROB", "9")

    with pytest.raises(Exception, match="RETRIEVER_NPROB"):
        RetrieverSettings.load()
