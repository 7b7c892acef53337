"""A retriever killed with SIGKILL at every point of a batch and of a snapshot loses and resurrects nothing."""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pytest
from nats.aio.client import Client as NatsClient
from numpy.typing import NDArray

from services.retriever.passages.store import FILE, Store
from tests.integration.dying_retriever import BATCH, SNAPSHOT
from tests.unit.retriever import stream
from tests.unit.retriever.corpora import NAMESPACE, PLAN, clustered
from tests.workers import running
from trimtab.bus.caller import Caller
from trimtab.bus.connection import connect
from trimtab.bus.ending import close
from trimtab.bus.local_server import LocalServer
from trimtab.client import Client
from trimtab.contracts.documents import IndexedPassage
from trimtab.contracts.retrieve import EVERY_LIST, RetrieveReply, RetrieveRequest, SparseUse
from trimtab.contracts.samples import Readiness, Sample
from trimtab.contracts.sparse import SparseRow, SparseSpace, SparseVectors
from trimtab.contracts.tensor import Matrix

pytestmark = pytest.mark.integration

VECTORS = clustered(np.random.default_rng(5), 400, 20)
IVF_FROM_200 = msgspec.structs.replace(
    PLAN,
    dense=msgspec.structs.replace(PLAN.dense, flat_below=200),
    legs=("dense", "words", "sparse"),
    fusion=msgspec.structs.replace(PLAN.fusion, sparse_weight=10.0),  # no cosine outweighs the best
)
TERMS = 60
SPACE = SparseSpace(namespace="learned_sparse.tiny.v1", vocabulary="0f" * 32, size=TERMS)
BEFORE = 260
"""Passages that were there, searchable and in a snapshot."""

REMOVED = (0, 7, 100, 259)
REPLACED = {5: 300, 6: 301, 258: 302}
"""Passage and the vector of its new content."""

ADDED = range(310, 330)
PATIENCE_S = 90.0
"""Limit of every wait; a wait ends when its state is there."""


@dataclass(frozen=True)
class Place:
    """What one test kills: a server with a filled stream and a worker's state."""

    server: LocalServer
    home: Path
    shipped: Path

    @property
    def state(self) -> Path:
        """Of the worker that is killed."""
        return self.home / "retriever" / "retriever-1"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stream of passages, and the state of a worker that applied them and stopped in order."""
    folder = tmp_path_factory.mktemp("template")
    shipped = stream.component(folder / "shipped", IVF_FROM_200)

    async def fill() -> None:
        server = LocalServer(folder / "nats")
        server.start()
        connection = await connect(server.url, "test")
        passages = [_passage(n, n) for n in range(BEFORE)]
        await stream.write(connection, [stream.record(), *passages])
        async with running(stream.worker(server, folder / "home", shipped=shipped)) as worker:
            assert worker.identity.facts["index.docs"] == "ivf"
        await close(connection)
        server.stop()

    asyncio.run(fill())
    return folder


@pytest.fixture
def place(template: Path, tmp_path: Path) -> Iterator[Place]:
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    server = LocalServer(tmp_path / "nats")
    server.start()
    yield Place(server, tmp_path / "home", tmp_path / "shipped")
    server.stop()


@pytest.fixture
async def connection(place: Place) -> AsyncIterator[NatsClient]:
    client = await connect(place.server.url, "test")
    yield client
    await close(client)


@asynccontextmanager
async def dying(place: Place, point: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The retriever as a process that dies at ``point`` once it may; entered once it is ready."""
    environment = {
        **os.environ,
        "TRIMTAB_NATS_URL": place.server.url,
        "TRIMTAB_HOME": str(place.home),
        "RETRIEVER_INSTANCE": "retriever-1",
        "RETRIEVER_SHIPPED": str(place.shipped),
        "PYTHONPATH": os.pathsep.join([".", "libs"]),
        "OMP_NUM_THREADS": "1",
        "DYING_POINT": point,
        "DYING_ARMED": str(place.home / "armed"),
    }
    module = "tests.integration.dying_retriever"
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, env=environment, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        await said(place, started, lambda sample: sample.readiness == Readiness.READY)
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()


async def said(
    place: Place, process: asyncio.subprocess.Process, wanted: Callable[[Sample], bool]
) -> None:
    """Wait until the worker says something about itself."""
    async with Client.connect(place.server.url) as client, asyncio.timeout(PATIENCE_S):
        while not any(wanted(sample) for sample in await client.health(window_s=0.1)):
            assert process.returncode is None, "it ended before its point"


def changes() -> stream.Entries:
    """One batch of upserts and removals, and a collection that begins in it."""
    return [
        *(stream.gone(f"p{n}") for n in REMOVED),
        *(_passage(n, to, text="new") for n, to in REPLACED.items()),
        stream.record(collection="later"),
        stream.message("first", VECTORS[350], collection="later"),
        *(_passage(n, n) for n in ADDED),
    ]


def _passage(name: int, number: int, text: str = "") -> IndexedPassage:
    return stream.message(f"p{name}", VECTORS[number], text=text, sparse=terms_of(number))


def terms_of(number: int) -> SparseVectors:
    """The learned sparse vector that belongs to a vector of the corpus; every third has none."""
    rng = np.random.default_rng(number)
    count = 0 if number % 3 == 1 else 5
    ids = np.sort(rng.choice(TERMS, size=count, replace=False)).astype(np.uint32)
    weights = rng.integers(1, 9, size=count).astype(np.float32) / np.float32(4)  # exact in 16 bits
    return SparseVectors.of(SPACE, [SparseRow(ids, weights)])


def product(one: SparseRow, other: SparseRow) -> float:
    _, first, second = np.intersect1d(one.ids, other.ids, return_indices=True)
    return float(one.weights[first] @ other.weights[second])


def number_of() -> dict[str, int]:
    """Which vector of the corpus each passage must have in the end."""
    kept = {f"p{n}": n for n in [*range(BEFORE), *ADDED] if n not in REMOVED}
    return kept | {f"p{n}": to for n, to in REPLACED.items()}


def expected() -> dict[str, NDArray[np.float32]]:
    return {name: VECTORS[number] for name, number in number_of().items()}


async def found(
    connection: NatsClient, vector: NDArray[np.float32], limit: int, collection: str = "docs"
) -> list[tuple[str, float]]:
    """Return ids and cosines by all lists: exact, so that two workers must agree."""
    request = RetrieveRequest(
        collection=collection,
        namespace=NAMESPACE,
        text="",
        vector=Matrix.of(vector.reshape(1, -1)),
        limit=limit,
        nprobe=EVERY_LIST - 1,  # every list of the index itself, not FLAT beside it
    )
    answer = await Caller(connection).call(
        stream.RETRIEVE, request, RetrieveReply, stream.context(timeout_s=30)
    )
    signals = answer.message.signals
    cosines = [] if signals is None else signals.cosine.array()[0].tolist()
    return [(hit.id, round(cos, 4)) for hit, cos in zip(answer.message.hits, cosines, strict=True)]


async def answers(connection: NatsClient) -> list[list[tuple[str, float]]]:
    """Return what every passage that is, was or never was there finds, and that words find."""
    nearest = [await found(connection, vector, 5) for vector in VECTORS[::3]]
    for each in nearest:
        each.sort(key=lambda hit: (-hit[1], hit[0]))
    return [*nearest, await found(connection, VECTORS[350], 5, "later")]


async def by_terms(connection: NatsClient, number: int) -> None:
    """Search with the sparse vector of ``number``; check every score, and that the best are there."""
    request = RetrieveRequest(
        collection="docs",
        namespace=NAMESPACE,
        text="",
        vector=Matrix.of(VECTORS[number].reshape(1, -1)),
        limit=200,
        sparse=terms_of(number),
    )
    answer = await Caller(connection).call(
        stream.RETRIEVE, request, RetrieveReply, stream.context(timeout_s=30)
    )
    reply, query = answer.message, terms_of(number).row()
    assert reply.sparse is SparseUse.USED
    assert reply.signals is not None
    assert reply.signals.sparse is not None
    scores = reply.signals.sparse.array()[0].tolist()
    found = {hit.id: score for hit, score in zip(reply.hits, scores, strict=True)}
    is_right = {name: product(terms_of(of).row(), query) for name, of in number_of().items()}
    assert found == {name: pytest.approx(is_right[name], rel=1e-5) for name in found}
    best = sorted(is_right.values(), reverse=True)[:10]
    assert sorted(scores, reverse=True)[: len(best)] == pytest.approx(best, rel=1e-5)


async def everything_is_as_acknowledged(
    place: Place, connection: NatsClient, instance: str, last: int
) -> list[list[tuple[str, float]]]:
    """Start a worker on a state, check all that is searchable, and return its answers."""
    made = stream.worker(place.server, place.home, instance, shipped=place.shipped)
    async with running(made) as worker:
        await stream.applied(worker, last, timeout_s=PATIENCE_S)
        facts = worker.identity.facts
        assert (facts["passages.docs"], facts["passages.later"]) == (len(expected()), 1)
        assert facts["refused_passages"] == 0
        for name, vector in expected().items():
            [(nearest, cosine)] = await found(connection, vector, 1)
            assert (nearest, cosine) == (name, 1.0)
        for number in REMOVED:
            ids = [name for name, _ in await found(connection, VECTORS[number], 200)]
            assert f"p{number}" not in ids
            by_words = await stream.found(connection, VECTORS[399], text=f"p{number}", limit=200)
            assert f"p{number}" not in by_words
        for number in (2, 300, 311):
            await by_terms(connection, number)
        given = await answers(connection)
    store = Store(place.home / "retriever" / instance / FILE)
    rows = {row.name: row for row in store.collections()}
    stored = [passage.hit.id for passage in store.passages(rows["docs"])]
    assert sorted(stored) == sorted(expected()), "nothing is lost, nothing is there twice"
    store.close()
    return given


async def equal_to_a_fresh_replay(place: Place, connection: NatsClient, last: int) -> None:
    survivor = await everything_is_as_acknowledged(place, connection, "retriever-1", last)
    fresh = await everything_is_as_acknowledged(place, connection, "retriever-2", last)

    assert survivor == fresh


@pytest.mark.parametrize("point", BATCH)
async def test_killed_while_it_applies_a_batch(
    place: Place, connection: NatsClient, point: str
) -> None:
    async with dying(place, point) as process:
        (place.home / "armed").touch()
        last = await stream.write(connection, changes())
        async with asyncio.timeout(PATIENCE_S):
            assert await process.wait() == -signal.SIGKILL

    await equal_to_a_fresh_replay(place, connection, last)


@pytest.mark.parametrize("point", SNAPSHOT)
async def test_killed_while_it_saves_a_snapshot(
    place: Place, connection: NatsClient, point: str
) -> None:
    async with dying(place, point) as process:
        last = await stream.write(connection, changes())
        await said(
            place, process, lambda sample: int(sample.facts.get("applied_sequence", 0)) >= last
        )
        (place.home / "armed").touch()
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_S):
            assert await process.wait() == -signal.SIGKILL

    await equal_to_a_fresh_replay(place, connection, last)


async def test_killed_again_and_again_it_still_gets_there(
    place: Place, connection: NatsClient
) -> None:
    last = 0
    for point in ("in the transaction, before the commit", "after the commit"):
        (place.home / "armed").unlink(missing_ok=True)
        async with dying(place, point) as process:
            (place.home / "armed").touch()
            last = await stream.write(connection, changes())
            async with asyncio.timeout(PATIENCE_S):
                assert await process.wait() == -signal.SIGKILL

    await equal_to_a_fresh_replay(place, connection, last)
