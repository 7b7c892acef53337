"""The indexes of a worker get onto a device while searches go on, and what is saved is what a CPU can read."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.retriever.dense.flat import faiss
from services.retriever.dense.gpu import NoDevice, device
from services.retriever.dense.ondevice import STALE_AT, Clone, OnDevice
from tests.unit.retriever import stream
from tests.unit.retriever.corpora import request
from tests.unit.retriever.test_catalogue import FIRST, VECTORS, WITH_IVF, opened, put
from trimtab.telemetry.metrics import REGISTRY


class Device:
    """Clones onto the CPU, and counts; or has no memory left."""

    def __init__(self, *, full: bool = False) -> None:
        self.full = full
        self.clones = 0

    def __call__(self, lists: Any) -> Clone:
        if self.full:
            raise RuntimeError("out of memory")
        self.clones += 1
        return Clone(faiss.clone_index(lists))


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
