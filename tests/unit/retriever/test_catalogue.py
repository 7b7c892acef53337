"""From the disk to what may be searched: collections, and an edition of each per component."""

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from services.retriever.catalogue import Catalogue, open_store
from services.retriever.component import Component, load_component
from services.retriever.dense import golden, snapshot
from services.retriever.dense.advice import reasons_to_rebuild
from services.retriever.dense.index import DenseIndex, Kind
from services.retriever.dense.indexbuild import Order, build
from services.retriever.dense.indexing import WrongIndex
from services.retriever.dense.ivf import IvfLists
from services.retriever.dense.snapshot import Header
from services.retriever.edition import Edition
from services.retriever.passages.feed import FeedMessage
from services.retriever.passages.loading import snapshots_of
from services.retriever.passages.store import FILE, Store
from services.retriever.plan import IndexPlan, Plan, PqPlan
from tests.unit.retriever import stream
from tests.unit.retriever.corpora import (
    COMPONENT,
    DIMENSION,
    NAMESPACE,
    PLAN,
    clustered,
    passage,
    request,
)
from trimtab.contracts.inspect import InspectRequest
from trimtab.contracts.message import encode
from trimtab.evaluation.vectorbundle import BundleCard, VectorBundle
from trimtab.telemetry import logs
from trimtab.telemetry.metrics import REGISTRY

VECTORS = clustered(np.random.default_rng(0), 400, 16)
WITH_IVF = msgspec.structs.replace(PLAN, dense=msgspec.structs.replace(PLAN.dense, flat_below=100))
plans = pytest.mark.parametrize("plan", [PLAN, WITH_IVF], ids=["flat", "ivf"])
FIRST, SECOND = "hybrid@1", "hybrid@2"


@asynccontextmanager
async def opened(state: Path, plan: Plan) -> AsyncIterator[Catalogue]:
    catalogue = Catalogue(state, 700_000, logs.get("retriever", "r-0"))
    try:
        await catalogue.load()
        await catalogue.add(FIRST, plan)
        yield catalogue
    finally:
        await catalogue.close()


def put(state: Path, start: int, stop: int, shift: int = 0) -> None:
    """Store passages ``start`` to ``stop``; ``shift`` gives them other vectors and a later sequence."""
    store = Store(state / FILE)
    row = next(iter(store.collections()), None)
    if row is None:
        row = store.add_collection("docs", NAMESPACE, COMPONENT, DIMENSION, 0)
    changes = [
        (row, passage(n, VECTORS[(n + shift) % 400], sequence=n + 1 + shift, text=f"v{shift}"))
        for n in range(start, stop)
    ]
    store.apply(changes, changes[-1][1].sequence)
    store.close()


def batch(start: int, stop: int) -> list[FeedMessage]:
    """What the stream brings."""
    return [
        FeedMessage(n + 1, encode(stream.message(f"new{n}", VECTORS[n])))
        for n in range(start, stop)
    ]


def refused() -> float:
    causes = ("checksum", "shape", "golden", "store")
    name = "retriever_snapshot_refused_total"
    return sum(REGISTRY.get_sample_value(name, {"cause": cause}) or 0.0 for cause in causes)


def answers_exactly(edition: Edition, vectors: NDArray[np.float32]) -> bool:
    """Whether every vector finds what exact search over ``vectors`` finds, all lists visited."""
    visible = edition.collection.visible("public")
    for query in VECTORS[::7]:
        found = edition.nearest(query, 5, visible, nprobe=64)
        best = np.sort(vectors @ query)[::-1][:5]
        if not np.allclose(found.cosines, best, atol=1e-5):
            return False
    return True


@plans
async def test_a_store_without_snapshot_gives_the_whole_collection(
    plan: Plan, tmp_path: Path
) -> None:
    put(tmp_path, 0, 300)

    async with opened(tmp_path, plan) as catalogue:
        edition = catalogue.get(FIRST, "docs")

        assert (edition.collection.size, edition.collection.version) == (300, "docs@300")
        assert edition.kind == ("flat" if plan is PLAN else "ivf")
        assert answers_exactly(edition, VECTORS[:300])
        assert edition.lexical_generation == edition.collection.generation


@plans
async def test_a_snapshot_is_brought_up_to_date_with_what_changed_since(
    plan: Plan, tmp_path: Path
) -> None:
    put(tmp_path, 0, 250)
    async with opened(tmp_path, plan):
        pass  # closing it saves what took training
    put(tmp_path, 250, 300)
    put(tmp_path, 10, 20, shift=300)
    before = refused()

    async with opened(tmp_path, plan) as catalogue:
        edition = catalogue.get(FIRST, "docs")

        expected = VECTORS[:300].copy()
        expected[10:20] = VECTORS[310:320]
        assert edition.collection.size == 300
        assert answers_exactly(edition, expected)
    assert refused() == before


async def test_a_snapshot_of_the_present_store_is_neither_trained_nor_saved_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, 0, 250)
    async with opened(tmp_path, WITH_IVF):
        pass
    saved = snapshot.newest(snapshots_of(tmp_path, "docs", FIRST))
    assert saved is not None
    written = (saved / snapshot.INDEX).stat().st_mtime_ns

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("services.retriever.dense.kinds.train_ivf", refuse)
    async with opened(tmp_path, WITH_IVF) as catalogue:
        assert answers_exactly(catalogue.get(FIRST, "docs"), VECTORS[:250])

    assert (saved / snapshot.INDEX).stat().st_mtime_ns == written


@pytest.mark.parametrize(
    "changes",
    [{"store": "other"}, {"sequence": 10_000}, {"component": SECOND}],
    ids=["another-store", "ahead-of-it", "another-component"],
)
async def test_a_snapshot_that_does_not_fit_the_store_is_refused_and_thrown_away(
    tmp_path: Path, changes: Mapping[str, object]
) -> None:
    put(tmp_path, 0, 120)
    async with opened(tmp_path, WITH_IVF) as catalogue:
        edition = catalogue.get(FIRST, "docs")
        lists = edition.index
        assert lists is not None
    folder = save(tmp_path, lists, changes)
    before = refused()

    async with opened(tmp_path, WITH_IVF) as catalogue:
        assert refused() == before + 1
        assert not folder.exists()
        assert answers_exactly(catalogue.get(FIRST, "docs"), VECTORS[:120])


def save(
    state: Path, lists: DenseIndex, changes: Mapping[str, object] = MappingProxyType({})
) -> Path:
    store = Store(state / FILE)
    header = Header(
        store=store.read_id(),
        collection="docs",
        component=FIRST,
        dimension=DIMENSION,
        sequence=store.read_sequence(),
        slots=lists.entries,
        nlist=lists.nlist,
    )
    store.close()
    header = msgspec.structs.replace(header, **changes)
    questions = golden.record(lists, VECTORS[:16], nprobe=4)
    partial = snapshot.write(snapshots_of(state, "docs", FIRST), lists)
    return snapshot.seal(partial, header, questions)


async def test_a_component_is_added_beside_another_while_passages_arrive(tmp_path: Path) -> None:
    put(tmp_path, 0, 300)
    async with opened(tmp_path, PLAN) as catalogue:
        adding = asyncio.create_task(catalogue.add(SECOND, WITH_IVF))
        for start in range(300, 400, 10):
            await catalogue.apply(batch(start, start + 10))
        await adding
        await catalogue.caretaker.settle()

        assert catalogue.components == [FIRST, SECOND]
        first, second = catalogue.get(FIRST, "docs"), catalogue.get(SECOND, "docs")
        assert (first.kind, second.kind) == ("flat", "ivf")
        assert first.collection is second.collection
        for component, edition in ((FIRST, first), (SECOND, second)):
            assert answers_exactly(edition, VECTORS)
            asked = request(VECTORS[399], text="words of new399", limit=3)
            found = await catalogue.retrieve(component, asked, "public")
            assert found.reply.hits[0].id == "new399"


async def test_a_collection_that_comes_later_has_an_edition_for_every_component(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, PLAN) as catalogue:
        await catalogue.add(SECOND, WITH_IVF)

        await catalogue.apply(batch(0, 150))
        await catalogue.caretaker.settle()

        assert catalogue.get(FIRST, "docs").kind == "flat"
        assert catalogue.get(SECOND, "docs").kind == "ivf"
        assert answers_exactly(catalogue.get(SECOND, "docs"), VECTORS[:150])


async def test_each_component_keeps_snapshots_of_its_own(tmp_path: Path) -> None:
    put(tmp_path, 0, 200)
    async with opened(tmp_path, WITH_IVF) as catalogue:
        await catalogue.add(SECOND, WITH_IVF)

    saved = [snapshot.newest(snapshots_of(tmp_path, "docs", name)) for name in (FIRST, SECOND)]
    assert None not in saved
    before = refused()
    async with opened(tmp_path, WITH_IVF) as catalogue:
        await catalogue.add(SECOND, WITH_IVF)
        assert answers_exactly(catalogue.get(SECOND, "docs"), VECTORS[:200])
    assert refused() == before


async def test_a_removed_component_leaves_memory_and_disk_and_the_others_answer_on(
    tmp_path: Path,
) -> None:
    put(tmp_path, 0, 380)
    folder = snapshots_of(tmp_path, "docs", SECOND)
    async with opened(tmp_path, PLAN) as catalogue:
        await catalogue.add(SECOND, WITH_IVF)
    async with opened(tmp_path, PLAN) as catalogue:
        await catalogue.add(SECOND, WITH_IVF)
        edition = weakref.ref(catalogue.get(SECOND, "docs"))
        saved = snapshot.newest(folder)
        await catalogue.remove(SECOND)
        gc.collect()
        left, gone = catalogue.components, edition()
        await catalogue.apply(batch(380, 400))
        answering = catalogue.get(FIRST, "docs")
        grown = answering.collection.size

    assert saved is not None
    assert not folder.exists(), "the close wrote none either"
    assert (left, gone, grown) == ([FIRST], None, 400)


async def test_passages_are_put_while_a_snapshot_is_sealed_and_the_next_start_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, allowed = asyncio.Event(), threading.Event()
    loop, seal = asyncio.get_running_loop(), snapshot.seal

    def slowly(*given: Any) -> Path:
        loop.call_soon_threadsafe(begun.set)
        assert allowed.wait(60)
        return seal(*given)

    monkeypatch.setattr(snapshot, "seal", slowly)
    monkeypatch.setattr("services.retriever.upkeep._SNAPSHOT_QUIET_S", 0.0)
    put(tmp_path, 0, 250)
    async with opened(tmp_path, WITH_IVF) as catalogue:
        catalogue.caretaker.start()
        async with asyncio.timeout(60):
            await begun.wait()
            await catalogue.apply(batch(250, 300))
        meanwhile = answers_exactly(catalogue.get(FIRST, "docs"), VECTORS[:300])
        allowed.set()

    assert meanwhile
    async with opened(tmp_path, WITH_IVF) as catalogue:
        assert answers_exactly(catalogue.get(FIRST, "docs"), VECTORS[:300])


async def test_lists_that_do_not_find_their_own_vectors_never_serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, 0, 120)
    async with opened(tmp_path, PLAN) as catalogue:
        monkeypatch.setattr(IvfLists, "extend", lambda lists, vectors, slots: None)

        with pytest.raises(WrongIndex, match="docs"):
            await catalogue.add(SECOND, WITH_IVF)

        monkeypatch.undo()
        assert catalogue.components == [FIRST]
        await catalogue.apply(batch(120, 130))
        assert answers_exactly(catalogue.get(FIRST, "docs"), VECTORS[:130])


def test_an_unusable_store_is_set_aside_and_an_empty_one_begun(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database at all, by far" * 40)

    store = open_store(tmp_path, logs.get("retriever", "r-0"))

    assert (store.collections(), store.read_sequence()) == ([], 0)
    store.close()
    kept = [path.name for path in tmp_path.iterdir() if "unusable" in path.name]
    assert len(kept) == 1
    assert kept[0].startswith(FILE)


def brought(folder: Path, plan: Plan = PLAN, nlist: int = 9) -> Component:
    """A component with an index of ``docs`` that was trained elsewhere, on half of the passages."""
    base = stream.component(folder, PLAN) / "hybrid@1"
    card = BundleCard(collection="docs", index="docs@200", namespace=NAMESPACE, encoder=COMPONENT)
    given = VectorBundle(card, [f"p{n}" for n in range(200)], VECTORS[:200], [], VECTORS[:0])
    order = Order(SECOND, plan, nlist)
    build(given, load_component(base), base, order, folder / SECOND, lambda *_: None)
    return load_component(folder / SECOND)


async def test_an_index_that_a_component_brings_is_used_by_every_worker_at_any_size(
    tmp_path: Path,
) -> None:
    component = brought(tmp_path / "components")
    lengths = []
    for worker in ("one", "two"):
        (tmp_path / worker).mkdir()
        put(tmp_path / worker, 0, 90)  # fewer than the plan's rule would make lists of
        async with opened(tmp_path / worker, PLAN) as catalogue:
            await catalogue.add(SECOND, component.plan, component.trained)
            edition = catalogue.get(SECOND, "docs")
            assert catalogue.get(FIRST, "docs").kind == "flat"
            assert (edition.kind, edition.nlist, edition.indexed) == ("ivf", 9, 200)
            await catalogue.apply(batch(90, 130))
            assert answers_exactly(edition, VECTORS[:130])
            assert edition.index is not None
            lengths.append(edition.index.lengths())
    assert lengths[0] == lengths[1]

    before = refused()
    async with opened(tmp_path / "one", PLAN) as catalogue:
        await catalogue.add(SECOND, component.plan, component.trained)
        edition = catalogue.get(SECOND, "docs")
        assert (edition.nlist, edition.indexed) == (9, 200)
        assert answers_exactly(edition, VECTORS[:130])
    assert refused() == before


async def test_growth_since_training_is_known_after_a_restart_and_raises_advice(
    tmp_path: Path,
) -> None:
    put(tmp_path, 0, 250)
    async with opened(tmp_path, WITH_IVF) as catalogue:
        edition = catalogue.get(FIRST, "docs")
        assert edition.indexed == 250
        assert not any("grew" in reason for reason in reasons_to_rebuild(edition.shape))
    put(tmp_path, 250, 300)

    async with opened(tmp_path, WITH_IVF) as catalogue:
        found = await catalogue.inspect(FIRST, InspectRequest(collection="docs"), "public")

    assert (found.passages, found.indexed) == (300, 250)
    assert "grew 20 % since trained" in found.advice
    assert found.advice.endswith("`trimtab index rebuild docs --queries FILE`")


async def test_an_index_of_another_space_than_the_collections_is_left_aside(
    tmp_path: Path,
) -> None:
    component = brought(tmp_path / "components")
    foreign = {
        name: replace(each, record=msgspec.structs.replace(each.record, namespace="other"))
        for name, each in component.trained.items()
    }
    put(tmp_path, 0, 120)

    async with opened(tmp_path, PLAN) as catalogue:
        await catalogue.add(SECOND, component.plan, foreign)

        assert catalogue.get(SECOND, "docs").kind == "flat"


@pytest.mark.parametrize("kind", ["ivf_pq", "hnsw"])
async def test_the_other_kinds_serve_follow_changes_and_come_back_from_their_snapshots(
    kind: Kind, tmp_path: Path
) -> None:
    index = IndexPlan(kind=kind, refine=16, pq=PqPlan(parts=8, bits=6))
    plan = msgspec.structs.replace(WITH_IVF, index=index)
    put(tmp_path, 0, 250)
    async with opened(tmp_path, plan) as catalogue:
        await catalogue.apply(batch(250, 300))
        assert catalogue.get(FIRST, "docs").kind == kind
        assert answers_exactly(catalogue.get(FIRST, "docs"), VECTORS[:300])
    before = refused()

    async with opened(tmp_path, plan) as catalogue:
        edition = catalogue.get(FIRST, "docs")
        assert (edition.kind, edition.indexed) == (kind, 250)
        assert answers_exactly(edition, VECTORS[:300])
    assert refused() == before


async def test_codes_that_do_not_fit_a_collection_leave_it_exact(tmp_path: Path) -> None:
    plan = msgspec.structs.replace(WITH_IVF, index=IndexPlan(kind="ivf_pq", pq=PqPlan(parts=5)))
    put(tmp_path, 0, 150)

    async with opened(tmp_path, plan) as catalogue:
        edition = catalogue.get(FIRST, "docs")

        assert edition.kind == "flat"
        assert answers_exactly(edition, VECTORS[:150])
