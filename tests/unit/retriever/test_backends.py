"""One suite for every place where vectors may live: FAISS in memory, of each kind, and Milvus with each index."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from services.retriever.catalogue import Catalogue
from services.retriever.passages.feed import FeedMessage
from services.retriever.plan import IndexPlan, Plan, PqPlan
from services.retriever.settings import RetrieverSettings
from services.retriever.vectordb.backends import backend_of
from services.retriever.vectordb.mirror import name_of
from services.retriever.vectordb.mirrors import Backend
from tests.unit.retriever import stream
from tests.unit.retriever.corpora import PLAN, clustered, request
from tests.unit.retriever.milvuslite import embedded
from trimtab.contracts.documents import IndexedPassage, RemovedPassage
from trimtab.telemetry import logs
from trimtab.worker.settings import InvalidSettings

if TYPE_CHECKING:
    from services.retriever.vectordb.milvus import Milvus

VECTORS = clustered(np.random.default_rng(3), 400, 12)
COMPONENT = "hybrid@1"
STREAM = "2026-02-02T00:00:00"
NAME = name_of("docs", STREAM)
EFFORT = 64
"""Lists to visit: all that these small collections have, and as much of a graph."""

FLAT = msgspec.structs.replace(PLAN, fusion=msgspec.structs.replace(PLAN.fusion, depth=10))


def approximate(kind: str) -> Plan:
    index = IndexPlan(kind=kind, pq=PqPlan(parts=8, bits=4), refine=16)  # type: ignore[arg-type]
    dense = msgspec.structs.replace(FLAT.dense, flat_below=100)
    return msgspec.structs.replace(FLAT, dense=dense, index=index)


PLACES = {
    "faiss-flat": (FLAT, None),
    "faiss-ivf": (approximate("ivf"), None),
    "faiss-ivf-pq": (approximate("ivf_pq"), None),
    "faiss-hnsw": (approximate("hnsw"), None),
    "milvus-flat": (FLAT, "flat"),
    "milvus-ivf-flat": (FLAT, "ivf_flat"),
    "milvus-ivf-sq8": (FLAT, "ivf_sq8"),
    "milvus-hnsw": (FLAT, "hnsw"),
}


@dataclass
class Place:
    """Where the vectors of a test live."""

    plan: Plan
    milvus: "Milvus | None"

    @asynccontextmanager
    async def opened(self, state: Path) -> AsyncIterator[Catalogue]:
        backend = None if self.milvus is None else Backend(Kept(self.milvus), {"*": "milvus"}, 5.0)
        catalogue = Catalogue(state, 700_000, logs.get("retriever", "r-0"), backend)
        try:
            await catalogue.load()
            await catalogue.add(COMPONENT, self.plan)
            if catalogue.stream != STREAM:
                await catalogue.begin_stream(STREAM)
            await catalogue.mirrors.settle()
            yield catalogue
        finally:
            await catalogue.close()

    async def take(self, catalogue: Catalogue, batch: Sequence[FeedMessage], held: int) -> None:
        """Apply a batch and wait until what it made is searched, ``held`` passages in all."""
        await catalogue.apply(batch)
        await catalogue.caretaker.settle()
        if self.milvus is None:
            return
        async with asyncio.timeout(60):
            while catalogue.mirrors.outages != {"docs": None}:
                await asyncio.sleep(0.02)
            while await asyncio.to_thread(self.milvus.count, NAME) != held:
                await asyncio.sleep(0.02)


class Kept:
    """A Milvus that outlives its catalogues."""

    def __init__(self, milvus: "Milvus") -> None:
        self._milvus = milvus

    def __getattr__(self, name: str) -> Any:
        return getattr(self._milvus, name)

    def close(self) -> None:
        """Nothing: the fixture does."""


@pytest.fixture(scope="module", params=PLACES)
def anywhere(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    plan, index = PLACES[request.param]
    if index is None:
        yield Place(plan, None)
        return
    with embedded(tmp_path_factory.mktemp("milvus"), index, 16) as milvus:  # type: ignore[arg-type]
        yield Place(plan, milvus)


@pytest.fixture
def place(anywhere: Place) -> Place:
    if anywhere.milvus is not None:
        anywhere.milvus.drop(NAME)
    return anywhere


def passages(
    start: int, stop: int, tenant: str = "public", shift: int = 0
) -> list[IndexedPassage | RemovedPassage]:
    """Passages by number; ``shift`` gives them other vectors."""
    return [
        stream.message(f"p{n}", VECTORS[(n + shift) % 400], text=f"word{n}", tenant=tenant)
        for n in range(start, stop)
    ]


def put(entries: Sequence[IndexedPassage | RemovedPassage], start: int = 1) -> list[FeedMessage]:
    return stream.feed_messages(entries, start)


async def names(
    catalogue: Catalogue, query: int, limit: int = 10, tenant: str = "public", **changes: Any
) -> list[str]:
    """What a search by vector alone finds."""
    asked = request(VECTORS[query], limit=limit, nprobe=EFFORT)
    asked = msgspec.structs.replace(asked, **changes)
    return [hit.id for hit in (await catalogue.retrieve(COMPONENT, asked, tenant)).reply.hits]


def true(query: int, vectors: Mapping[str, int], limit: int = 10) -> set[str]:
    """Return the nearest of passages by exact search, given which vector each has."""
    cosines = VECTORS[list(vectors.values())] @ VECTORS[query]
    order = np.argsort(-cosines, kind="stable")[:limit]
    return {list(vectors)[at] for at in order}


async def test_nearly_all_of_the_true_nearest_come_out(place: Place, tmp_path: Path) -> None:
    async with place.opened(tmp_path) as catalogue:
        await place.take(catalogue, put(passages(0, 400)), 400)

        found = 0
        for query in range(0, 400, 20):
            truth = true(query, {f"p{n}": n for n in range(400)})
            found += len(truth & set(await names(catalogue, query)))
        assert found >= 190  # of 200


async def test_every_tenant_finds_its_own_and_the_public_and_no_others(
    place: Place, tmp_path: Path
) -> None:
    async with place.opened(tmp_path) as catalogue:
        entries = [*passages(0, 150), *passages(150, 250, "acme"), *passages(250, 300, "o'b\"rien")]
        await place.take(catalogue, put(entries), 300)

        for query in (10, 160, 260):
            assert await names(catalogue, query, 200) == await names(
                catalogue, query, 200, "nobody"
            )
            assert set(await names(catalogue, query, 200)) == {f"p{n}" for n in range(150)}
        acme = set(await names(catalogue, 160, 200, "acme"))
        assert len(acme) == 200
        assert acme <= {f"p{n}" for n in range(250)}
        strange = set(await names(catalogue, 260, 200, "o'b\"rien"))
        assert strange == {f"p{n}" for n in (*range(150), *range(250, 300))}


async def test_what_a_request_excludes_does_not_come_out_and_costs_no_place(
    place: Place, tmp_path: Path
) -> None:
    async with place.opened(tmp_path) as catalogue:
        await place.take(catalogue, put(passages(0, 200)), 200)
        best = await names(catalogue, 7)

        rest = await names(catalogue, 7, exclude=best[:3])

        assert rest[:7] == best[3:]
        assert len(rest) == 10


async def test_a_passage_sent_again_is_found_once_and_by_its_new_vector(
    place: Place, tmp_path: Path
) -> None:
    async with place.opened(tmp_path) as catalogue:
        await place.take(catalogue, put(passages(0, 200)), 200)
        await place.take(catalogue, put(passages(0, 20), 201), 200)
        await place.take(catalogue, put(passages(5, 6, shift=300), 221), 200)

        async with asyncio.timeout(60):
            while (await names(catalogue, 305))[0] != "p5":
                await asyncio.sleep(0.02)
        everything = await names(catalogue, 305, 200)
        assert sorted(everything) == sorted({f"p{n}" for n in range(200)})
        assert (await names(catalogue, 5))[0] != "p5"


async def test_a_removed_passage_is_never_found_again_until_it_comes_back(
    place: Place, tmp_path: Path
) -> None:
    async with place.opened(tmp_path) as catalogue:
        await place.take(catalogue, put(passages(0, 200)), 200)
        await place.take(catalogue, put([stream.gone(f"p{n}") for n in range(40)], 201), 160)
        assert set(await names(catalogue, 3, 200)) == {f"p{n}" for n in range(40, 200)}

        await place.take(catalogue, put(passages(3, 4), 241), 161)
        assert (await names(catalogue, 3))[0] == "p3"
        await place.take(catalogue, put(passages(300, 305), 242), 166)  # in the slots of others
        assert (await names(catalogue, 302))[0] == "p302"


async def test_the_same_batch_again_changes_nothing(place: Place, tmp_path: Path) -> None:
    async with place.opened(tmp_path) as catalogue:
        batch = put([*passages(0, 150), stream.gone("p9")])
        await place.take(catalogue, batch, 149)
        before = [await names(catalogue, query) for query in range(0, 150, 10)]

        await place.take(catalogue, batch, 149)

        assert [await names(catalogue, query) for query in range(0, 150, 10)] == before


async def test_a_restart_finds_everything_that_was_there(place: Place, tmp_path: Path) -> None:
    async with place.opened(tmp_path) as catalogue:
        await place.take(catalogue, put(passages(0, 200)), 200)
        await place.take(catalogue, put([stream.gone("p9")], 201), 199)
        before = [await names(catalogue, query) for query in range(0, 200, 10)]

    async with place.opened(tmp_path) as catalogue:
        assert [await names(catalogue, query) for query in range(0, 200, 10)] == before
        await place.take(catalogue, put(passages(200, 210), 202), 209)
        assert (await names(catalogue, 205))[0] == "p205"


def test_milvus_without_an_address_is_refused_and_its_token_is_never_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RETRIEVER_BACKENDS", '{"big-*": "milvus"}')
    with pytest.raises(InvalidSettings, match="set RETRIEVER_MILVUS_URI"):
        RetrieverSettings.load()

    monkeypatch.setenv("RETRIEVER_MILVUS_URI", "http://127.0.0.1:19530")
    monkeypatch.setenv("RETRIEVER_MILVUS_TOKEN", "root:secret")
    settings = RetrieverSettings.load()
    assert "secret" not in f"{settings!r} {settings.model_dump_json()}"
    monkeypatch.setenv("RETRIEVER_BACKENDS", '{"big-*": "qdrant"}')
    with pytest.raises(InvalidSettings, match=r"'memory' or 'milvus'"):
        RetrieverSettings.load()


def test_without_milvus_in_the_settings_there_is_no_backend() -> None:
    assert backend_of(RetrieverSettings()) is None
    assert backend_of(RetrieverSettings(backends={"*": "memory"})) is None


def test_a_missing_package_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    monkeypatch.delitem(sys.modules, "services.retriever.vectordb.milvus", raising=False)
    settings = RetrieverSettings(backends={"*": "milvus"}, milvus_uri="http://127.0.0.1:19530")

    with pytest.raises(InvalidSettings, match=r"pip install 'trimtab\[retriever-milvus\]'"):
        backend_of(settings)


def test_the_first_pattern_that_matches_decides() -> None:
    place = Backend(None, {"big-small": "memory", "big-*": "milvus"}, 1.0)  # type: ignore[arg-type]

    assert [place.holds(name) for name in ("big-small", "big-one", "docs")] == [False, True, False]
