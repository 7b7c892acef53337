"""The indexes of a worker get onto a device while searches go on, and what is saved is what a CPU can read."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from services.retriever.catalogue import Catalogue
from services.retriever.dense.flat import faiss
from services.retriever.dense.gpu import NoDevice, device
from services.retriever.dense.index import Nearest, Vectors
from services.retriever.dense.ondevice import STALE_AT, Clone, OnDevice
from tests.unit.retriever import stream
from tests.unit.retriever.corpora import PLAN, request
from tests.unit.retriever.test_catalogue import FIRST, VECTORS, WITH_IVF, opened, put
from trimtab.telemetry.metrics import REGISTRY


class Device:
    """Clones onto the CPU, and counts; or has no memory left."""

    def __init__(self, *, full: bool = False) -> None:
        self.full = full
        self.broken = False
        self.clones = 0

    def __call__(self, lists: Any) -> Clone:
        if self.full:
            raise RuntimeError("out of memory")
        self.clones += 1
        return Failing(faiss.clone_index(lists), device=self)


@dataclass(frozen=True, kw_only=True)
class Failing(Clone):
    """A clone whose device may break."""

    device: Device

    def search(self, query: Vectors, limit: int, nprobe: int) -> Nearest:
        if self.device.broken:
            raise RuntimeError("the device is gone")
        return super().search(query, limit, nprobe)


async def placed(index: Any) -> OnDevice:
    """Wait until the edition's index is on the device; ``index`` returns it."""
    async with asyncio.timeout(60):
        while not isinstance(found := index(), OnDevice) or found.stale:
            await asyncio.sleep(0.005)
    return found


def fallbacks(where: str) -> float:
    name = "retriever_device_fallbacks_total"
    return REGISTRY.get_sample_value(name, {"where": where}) or 0.0


async def test_lists_are_cloned_cloned_again_after_many_changes_and_saved_as_lists(
    tmp_path: Path,
) -> None:
    put(tmp_path, 0, 400)
    on = Device()
    async with opened(tmp_path, WITH_IVF) as catalogue:
        catalogue.caretaker.placing.device = on
        catalogue.caretaker.start()
        edition = catalogue.get(FIRST, "docs")
        first = await placed(lambda: edition.index)
        before = await catalogue.retrieve(FIRST, request(VECTORS[7], limit=5), "public")
        rows = np.resize(VECTORS, (STALE_AT + 1, VECTORS.shape[1]))
        passages = [stream.message(f"new{number}", row) for number, row in enumerate(rows)]
        await catalogue.apply(stream.feed_messages(passages, start=1_000))
        again = await placed(lambda: edition.index)
        after = await catalogue.retrieve(FIRST, request(VECTORS[7], limit=5), "public")

    assert before.reply.hits[0].id == "p7"
    assert after.reply.hits[0].id in {"p7", "new7", "new407"}
    assert first.entries == again.entries == 400 + STALE_AT + 1
    assert on.clones >= 2
    async with opened(tmp_path, WITH_IVF) as restarted:  # without a device
        edition = restarted.get(FIRST, "docs")
        assert edition.kind == "ivf"
        assert not isinstance(edition.index, OnDevice)
        found = await restarted.retrieve(FIRST, request(VECTORS[8], limit=5), "public")
    assert found.reply.hits[0].id in {"p8", "new8", "new408"}


async def told(catalogue: Catalogue, component: str, said: str) -> None:
    """Wait until it is said of a component's index of ``docs`` where it is searched."""
    places = catalogue.caretaker.placing.places
    async with asyncio.timeout(60):
        while str(places.get(("docs", component))) != said:
            await asyncio.sleep(0.005)


async def test_it_is_said_where_each_collection_is_searched_and_why_not_on_the_device(
    tmp_path: Path,
) -> None:
    put(tmp_path, 0, 400)
    graph = msgspec.structs.replace(
        PLAN, index=msgspec.structs.replace(PLAN.index, kind="hnsw"), dense=WITH_IVF.dense
    )
    before, changes = fallbacks("kind"), []
    async with opened(tmp_path, WITH_IVF) as catalogue:
        placing = catalogue.caretaker.placing
        placing.device = Device()
        placing.on_change = lambda: changes.append(dict(placing.places))
        await catalogue.add("graph@1", graph)
        await catalogue.add("exact@1", PLAN)
        catalogue.caretaker.start()

        await told(catalogue, FIRST, "gpu")
        why = "graph@1 keeps no IVF lists; choose a component with kind ivf"
        await told(catalogue, "graph@1", f"cpu: {why}")
        why = "fewer than 10000 passages are compared one by one; lists are made of more"
        await told(catalogue, "exact@1", f"cpu: {why}")
        await placing.place(catalogue.get("graph@1", "docs"))  # said and counted once

        catalogue.caretaker.release(catalogue.get("graph@1", "docs"))
        known = set(placing.places)

    assert fallbacks("kind") == before + 1
    assert len(changes) >= 3
    assert known == {("docs", FIRST), ("docs", "exact@1")}


async def test_a_device_that_fails_in_a_search_is_no_longer_said_to_search(tmp_path: Path) -> None:
    put(tmp_path, 0, 400)
    before, on = fallbacks("search"), Device()
    woken = asyncio.Event()
    async with opened(tmp_path, WITH_IVF) as catalogue:
        placing = catalogue.caretaker.placing
        wake, placing.device = placing.wake, on

        def heard() -> None:
            woken.set()
            wake()

        placing.wake = heard
        catalogue.caretaker.start()
        await told(catalogue, FIRST, "gpu")
        on.broken = True
        found = await catalogue.retrieve(FIRST, request(VECTORS[7], limit=5), "public")
        async with asyncio.timeout(60):
            await woken.wait()
        await told(catalogue, FIRST, "cpu: the device gave it up; see the log")

    assert fallbacks("search") == before + 1
    assert found.reply.hits[0].id == "p7"


@pytest.mark.parametrize(
    "forget",
    [lambda catalogue: catalogue.remove(FIRST), lambda catalogue: catalogue.begin_stream("other")],
    ids=["its-component-is-removed", "another-stream-begins"],
)
async def test_an_edition_that_is_released_meanwhile_is_neither_cloned_nor_said_to_be_anywhere(
    tmp_path: Path, forget: Callable[[Catalogue], Coroutine[Any, Any, None]]
) -> None:
    put(tmp_path, 0, 400)
    on = Device()
    async with opened(tmp_path, WITH_IVF) as catalogue:
        placing = catalogue.caretaker.placing
        placing.device = on
        edition = catalogue.get(FIRST, "docs")
        async with asyncio.timeout(60), asyncio.TaskGroup() as both:
            both.create_task(forget(catalogue))
            both.create_task(placing.place(edition))
        await placing.place(edition)  # a turn of the caretaker that began before looks at it, too

        assert (on.clones, placing.places) == (0, {})
        assert not isinstance(edition.index, OnDevice)


async def test_without_a_device_nothing_is_said_of_one(tmp_path: Path) -> None:
    put(tmp_path, 0, 400)
    async with opened(tmp_path, WITH_IVF) as catalogue:
        await catalogue.caretaker.placing.place(catalogue.get(FIRST, "docs"))

        assert catalogue.caretaker.placing.places == {}


async def test_a_device_without_memory_leaves_the_searches_to_the_cpu_and_is_counted_once(
    tmp_path: Path,
) -> None:
    put(tmp_path, 0, 400)
    before = fallbacks("clone")
    async with opened(tmp_path, WITH_IVF) as catalogue:
        catalogue.caretaker.placing.device = Device(full=True)
        catalogue.caretaker.start()
        edition = catalogue.get(FIRST, "docs")
        given_up = await placed(lambda: edition.index)
        for _ in range(3):  # later turns do not try again
            await catalogue.caretaker.placing.place(edition)
        found = await catalogue.retrieve(FIRST, request(VECTORS[7], limit=5), "public")

    assert not given_up.cloned
    assert fallbacks("clone") == before + 1
    assert found.reply.hits[0].id == "p7"


def test_the_cpu_is_asked_for_by_name_and_taken_where_nothing_else_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.retriever.dense.gpu._missing", lambda: "there is none")

    assert device("cpu") is None
    assert device("auto") is None
    with pytest.raises(NoDevice, match="there is none"):
        device("gpu")


def test_a_cpu_build_of_faiss_says_which_package_to_put_in_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(faiss, "StandardGpuResources", raising=False)

    with pytest.raises(NoDevice, match="pip uninstall faiss-cpu && pip install faiss-gpu"):
        device("gpu")
