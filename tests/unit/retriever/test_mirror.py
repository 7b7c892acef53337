"""A collection whose vectors live in Milvus answers as one in memory does, and waits for it without losing anything."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from services.retriever.catalogue import Catalogue
from services.retriever.passages.feed import FeedMessage
from services.retriever.vectordb.database import (
    CollectionGone,
    Entry,
    Found,
    Key,
    Question,
    VectorsAway,
)
from services.retriever.vectordb.mirror import name_of
from services.retriever.vectordb.mirrors import Backend
from tests.unit.retriever import stream
from tests.unit.retriever.corpora import DIMENSION, PLAN, clustered, request
from tests.unit.retriever.milvuslite import embedded
from trimtab.contracts.message import encode
from trimtab.contracts.retrieve import EVERY_LIST, DenseOutage, RetrieveReply
from trimtab.telemetry import logs

if TYPE_CHECKING:
    from services.retriever.vectordb.milvus import Milvus

VECTORS = clustered(np.random.default_rng(0), 300, 12)
COMPONENT = "hybrid@1"
STREAM = "2026-01-01T00:00:00"
NAME = name_of("docs", STREAM)
BLEND = msgspec.structs.replace(PLAN, fusion=msgspec.structs.replace(PLAN.fusion, depth=20))
IVF = msgspec.structs.replace(BLEND, dense=msgspec.structs.replace(BLEND.dense, flat_below=100))


class Switch:
    """A database that can be taken away: every call fails, and what was asked is counted."""

    def __init__(self, database: "Milvus") -> None:
        self.database = database
        self.away: DenseOutage | None = None
        self.written = 0

    def _check(self) -> None:
        if self.away is not None:
            raise VectorsAway(self.away, "switched off by the test")

    def prepare(self, name: str, dimension: int) -> bool:
        self._check()
        return self.database.prepare(name, dimension)

    def sequences(self, name: str, keys: Sequence[Key]) -> dict[Key, int]:
        self._check()
        return self.database.sequences(name, keys)

    def put(self, name: str, entries: Sequence[Entry]) -> None:
        self._check()
        self.written += len(entries)
        self.database.put(name, entries)

    def remove(self, name: str, keys: Sequence[Key]) -> None:
        self._check()
        self.database.remove(name, keys)

    def search(self, name: str, question: Question, timeout_s: float) -> Found:
        self._check()
        return self.database.search(name, question, timeout_s)

    def count(self, name: str) -> int:
        self._check()
        return self.database.count(name)

    def drop(self, name: str) -> None:
        self._check()
        self.database.drop(name)

    def close(self) -> None:
        """The test's own, for several catalogues."""


@pytest.fixture(scope="module")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Milvus"]:
    with embedded(tmp_path_factory.mktemp("milvus")) as found:
        yield found


@pytest.fixture
def switch(milvus: "Milvus") -> Switch:
    milvus.drop(NAME)
    return Switch(milvus)


@asynccontextmanager
async def opened(
    state: Path,
    switch: Switch | None,
    patterns: dict[str, str] | None = None,
    identity: str = STREAM,
) -> AsyncIterator[Catalogue]:
    await asyncio.to_thread(state.mkdir, exist_ok=True)
    backend = None
    if switch is not None:
        backend = Backend(switch, patterns or {"docs": "milvus"}, 5.0)
    catalogue = Catalogue(state, 700_000, logs.get("retriever", "r-0"), backend)
    try:
        await catalogue.load()
        await catalogue.add(COMPONENT, BLEND)
        if catalogue.stream != identity:
            await catalogue.begin_stream(identity)
        await catalogue.mirrors.settle()
        yield catalogue
    finally:
        await catalogue.close()


def put(
    *numbers: int, at: int | None = None, tenant: str = "public", shift: int = 0
) -> list[FeedMessage]:
    """Passages of these numbers as the stream brings them; ``shift`` gives them other vectors."""
    first = numbers[0] + 1 if at is None else at
    return [
        FeedMessage(
            first + place,
            encode(
                stream.message(f"p{n}", VECTORS[(n + shift) % 300], text=f"word{n}", tenant=tenant)
            ),
        )
        for place, n in enumerate(numbers)
    ]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


def whole(catalogue: Catalogue) -> bool:
    return catalogue.mirrors.outages == {"docs": None}


async def caught_up(catalogue: Catalogue, switch: Switch, held: int) -> None:
    await until(lambda: whole(catalogue))
    async with asyncio.timeout(60):
        while await asyncio.to_thread(switch.database.count, NAME) != held:
            await asyncio.sleep(0.02)


async def search(
    catalogue: Catalogue, query: int, *, text: str = "", tenant: str = "public", limit: int = 10
) -> RetrieveReply:
    asked = request(VECTORS[query], text=text, limit=limit, nprobe=EVERY_LIST)
    return (await catalogue.retrieve(COMPONENT, asked, tenant)).reply


async def test_it_answers_as_a_collection_in_memory_does(switch: Switch, tmp_path: Path) -> None:
    batches = [put(*range(n, n + 50)) for n in range(0, 300, 50)]
    async with opened(tmp_path / "far", switch) as far, opened(tmp_path / "near", None) as near:
        for catalogue in (far, near):
            for batch in batches:
                await catalogue.apply(batch)
        await caught_up(far, switch, 300)

        for query in range(0, 300, 20):
            here = await search(near, query, text=f"word{query + 1}")
            there = await search(far, query, text=f"word{query + 1}")

            assert [hit.id for hit in there.hits] == [hit.id for hit in here.hits]
            assert here.signals is not None
            assert there.signals is not None
            for name in ("fused", "cosine", "bm25"):
                mine, theirs = getattr(there.signals, name), getattr(here.signals, name)
                assert mine.array() == pytest.approx(theirs.array(), abs=1e-5)
            assert there.dense is None
        assert far.get(COMPONENT, "docs").kind == "milvus"


async def test_its_vectors_are_not_in_the_workers_memory(switch: Switch, tmp_path: Path) -> None:
    async with opened(tmp_path, switch) as catalogue:
        await catalogue.apply(put(*range(100)))

        collection = catalogue.get(COMPONENT, "docs").collection
        assert collection.afar
        assert collection.token_bytes == 0
        assert catalogue.get(COMPONENT, "docs").index is None


async def test_other_collections_stay_in_memory(switch: Switch, tmp_path: Path) -> None:
    async with opened(tmp_path, switch, {"big-*": "milvus", "*": "memory"}) as catalogue:
        await catalogue.apply(put(*range(20)))

        assert not catalogue.get(COMPONENT, "docs").collection.afar
        assert catalogue.mirrors.outages == {}


async def test_no_tenant_sees_a_passage_of_another(switch: Switch, tmp_path: Path) -> None:
    async with opened(tmp_path, switch) as catalogue:
        await catalogue.apply(put(*range(50)))
        await catalogue.apply(put(*range(50, 100), tenant="acme"))
        await catalogue.apply(put(*range(100, 150), tenant='a"] or true or tenant in ["b'))
        await caught_up(catalogue, switch, 150)

        public = await search(catalogue, 60, limit=100)
        acme = await search(catalogue, 60, limit=100, tenant="acme")

        assert {hit.tenant for hit in public.hits} == {"public"}
        assert {hit.tenant for hit in acme.hits} == {"public", "acme"}
        assert acme.hits[0].id == "p60"


async def test_a_passage_that_comes_again_or_changes_is_found_as_it_is_now(
    switch: Switch, tmp_path: Path
) -> None:
    async with opened(tmp_path, switch) as catalogue:
        await catalogue.apply(put(*range(60)))
        await catalogue.apply(put(*range(10), at=61))  # nothing new about them
        await catalogue.apply(put(5, at=71, shift=200))
        await caught_up(catalogue, switch, 60)
        await until(
            lambda: (
                switch.database.sequences(NAME, [Key("public", "p5")]).get(Key("public", "p5"))
                == 71
            )
        )

        assert (await search(catalogue, 205)).hits[0].id == "p5"
        assert (await search(catalogue, 5)).hits[0].id != "p5"


async def test_a_removed_passage_is_gone_at_once_here_and_soon_there(
    switch: Switch, tmp_path: Path
) -> None:
    async with opened(tmp_path, switch) as catalogue:
        await catalogue.apply(put(*range(40)))
        await caught_up(catalogue, switch, 40)
        switch.away = DenseOutage.UNAVAILABLE

        await catalogue.apply(stream.feed_messages([stream.gone("p3")], 41))

        assert "p3" not in {hit.id for hit in (await search(catalogue, 3, text="word3")).hits}
        switch.away = None
        await caught_up(catalogue, switch, 39)
        assert "p3" not in {hit.id for hit in (await search(catalogue, 3, limit=40)).hits}


async def test_what_was_removed_and_came_back_stays(switch: Switch, tmp_path: Path) -> None:
    async with opened(tmp_path, switch) as catalogue:
        await catalogue.apply(put(*range(20)))
        await caught_up(catalogue, switch, 20)
        switch.away = DenseOutage.UNAVAILABLE
        await search(catalogue, 0)
        await catalogue.apply(stream.feed_messages([stream.gone("p3")], 21))
        await catalogue.apply(put(3, at=22, shift=100))
        switch.away = None
        await caught_up(catalogue, switch, 20)

        assert (await search(catalogue, 103)).hits[0].id == "p3"


async def test_while_it_is_away_words_answer_and_say_so_and_it_comes_back_by_itself(
    switch: Switch, tmp_path: Path
) -> None:
    async with opened(tmp_path, switch) as catalogue:
        await catalogue.apply(put(*range(50)))
        await caught_up(catalogue, switch, 50)

        switch.away = DenseOutage.DEADLINE
        lost = await search(catalogue, 7, text="word9")
        assert (lost.dense, [hit.id for hit in lost.hits]) == (DenseOutage.DEADLINE, ["p9"])
        assert lost.signals is not None
        assert lost.signals.cosine.array()[0, 0] == pytest.approx(VECTORS[7] @ VECTORS[9], abs=1e-5)
        await catalogue.apply(put(*range(50, 70)))
        assert [hit.id for hit in (await search(catalogue, 0, text="word60")).hits] == ["p60"]
        assert switch.written == 50

        switch.away = None
        await caught_up(catalogue, switch, 70)
        back = await search(catalogue, 60)
        assert (back.dense, back.hits[0].id) == (None, "p60")


async def test_it_starts_without_the_database_and_sends_everything_once_it_is_there(
    switch: Switch, tmp_path: Path
) -> None:
    switch.away = DenseOutage.UNAVAILABLE
    async with opened(tmp_path, switch) as catalogue:
        await catalogue.apply(put(*range(30)))
        assert (await search(catalogue, 4, text="word4")).dense is DenseOutage.UNAVAILABLE
    async with opened(tmp_path, switch) as catalogue:
        assert (await search(catalogue, 4, text="word4")).hits[0].id == "p4"

        switch.away = None
        await caught_up(catalogue, switch, 30)
        assert (await search(catalogue, 4)).hits[0].id == "p4"


async def test_a_restart_writes_nothing_again(switch: Switch, tmp_path: Path) -> None:
    async with opened(tmp_path, switch) as catalogue:
        await catalogue.apply(put(*range(40)))
        await caught_up(catalogue, switch, 40)
    written = switch.written

    async with opened(tmp_path, switch) as catalogue:
        assert whole(catalogue)
        assert (await search(catalogue, 11)).hits[0].id == "p11"
        await catalogue.apply(put(40))
        await caught_up(catalogue, switch, 41)
    assert switch.written == written + 1


async def test_two_workers_share_one_copy_and_the_later_one_writes_only_what_is_missing(
    switch: Switch, tmp_path: Path
) -> None:
    async with opened(tmp_path / "one", switch) as one:
        await one.apply(put(*range(40)))
        await one.apply(put(7, at=41, shift=150))
        await caught_up(one, switch, 40)
        written = switch.written

        async with opened(tmp_path / "two", switch) as two:
            await two.apply(put(*range(40)))  # as far as it is: the old passage 7
            await until(lambda: whole(two))
            assert switch.written == written
            assert (await search(one, 157)).hits[0].id == "p7"

            await two.apply(put(7, at=41, shift=150))
            await two.apply(put(*range(40, 45), at=42))
            await caught_up(two, switch, 45)
            for catalogue in (one, two):
                assert (await search(catalogue, 157)).hits[0].id == "p7"
            assert "p42" not in {hit.id for hit in (await search(one, 42, limit=50)).hits}
            assert (await search(two, 42)).hits[0].id == "p42"


@pytest.mark.parametrize("harm", ["dropped", "emptied"])
async def test_a_database_that_lost_the_collection_gets_it_again(
    switch: Switch, tmp_path: Path, harm: str
) -> None:
    async with opened(tmp_path, switch) as catalogue:
        await catalogue.apply(put(*range(40)))
        await caught_up(catalogue, switch, 40)

        switch.database.drop(NAME)
        if harm == "emptied":
            switch.database.prepare(NAME, DIMENSION)
            switch.away = DenseOutage.UNAVAILABLE
        await search(catalogue, 3, text="word3")
        switch.away = None

        await caught_up(catalogue, switch, 40)
        assert (await search(catalogue, 3)).hits[0].id == "p3"


async def test_a_collection_moves_from_memory_to_the_database_and_back(
    switch: Switch, tmp_path: Path
) -> None:
    async with opened(tmp_path, None) as catalogue:
        await catalogue.apply(put(*range(40)))
    async with opened(tmp_path, switch) as catalogue:
        await caught_up(catalogue, switch, 40)
        assert (await search(catalogue, 3)).hits[0].id == "p3"
    async with opened(tmp_path, None) as catalogue:
        assert not catalogue.get(COMPONENT, "docs").collection.afar
        assert (await search(catalogue, 3)).hits[0].id == "p3"
        await catalogue.apply(stream.feed_messages([stream.gone("p3")], 41))
    async with opened(tmp_path, switch) as catalogue:
        await caught_up(catalogue, switch, 40)  # the copy was left behind with the passage
        assert "p3" not in {hit.id for hit in (await search(catalogue, 3, limit=40)).hits}


async def test_another_stream_leaves_nothing_of_the_old_one(switch: Switch, tmp_path: Path) -> None:
    async with opened(tmp_path, switch) as catalogue:
        await catalogue.apply(put(*range(20)))
        await caught_up(catalogue, switch, 20)

        await catalogue.begin_stream("another")
        with pytest.raises(CollectionGone):
            switch.database.count(NAME)
        await catalogue.apply(put(*range(5)))
        await until(lambda: whole(catalogue))
        assert {hit.id for hit in (await search(catalogue, 3, limit=50)).hits} == {
            f"p{n}" for n in range(5)
        }
        await catalogue.begin_stream("a third")


async def test_a_question_that_is_refused_does_not_take_the_collection_away(
    switch: Switch, tmp_path: Path
) -> None:
    async with opened(tmp_path, switch) as catalogue:
        await catalogue.apply(put(*range(20)))
        await caught_up(catalogue, switch, 20)
        kept = switch.search

        def refuse(name: str, question: Question, timeout_s: float) -> Found:
            raise VectorsAway(DenseOutage.REFUSED, "not this one")

        switch.search = refuse  # type: ignore[method-assign]
        assert (await search(catalogue, 3, text="word3")).dense is DenseOutage.REFUSED
        switch.search = kept  # type: ignore[method-assign]
        assert (await search(catalogue, 3)).dense is None
