"""From the disk to a collection: snapshot plus what changed since, or all of it from the store."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec
import numpy as np
import pytest

from services.retriever import golden, loading, snapshot
from services.retriever.collection import Collection
from services.retriever.loading import WrongIndex, load_collection, snapshots_of
from services.retriever.plan import Plan
from services.retriever.snapshot import Cause, Header
from services.retriever.store import CollectionRow, Store
from tests.unit.retriever.corpora import COMPONENT, DIMENSION, NAMESPACE, PLAN, clustered, passage

VECTORS = clustered(np.random.default_rng(0), 400, 16)
WITH_IVF = msgspec.structs.replace(PLAN, dense=msgspec.structs.replace(PLAN.dense, flat_below=100))
plans = pytest.mark.parametrize("plan", [PLAN, WITH_IVF], ids=["flat", "ivf"])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "passages.db")
    yield opened
    opened.close()


@pytest.fixture
def row(store: Store) -> CollectionRow:
    return store.add_collection("docs", NAMESPACE, COMPONENT, DIMENSION, 0)


def put(store: Store, row: CollectionRow, start: int, stop: int, shift: int = 0) -> None:
    """Store passages ``start`` to ``stop``; ``shift`` gives them other vectors and a later sequence."""
    changes = [
        (row, passage(n, VECTORS[(n + shift) % 400], sequence=n + 1 + shift, text=f"v{shift}"))
        for n in range(start, stop)
    ]
    store.apply(changes, changes[-1][1].sequence)


def save(
    store: Store,
    collection: Collection,
    tmp_path: Path,
    changes: Mapping[str, object] = MappingProxyType({}),
) -> Path:
    index = collection.index
    header = Header(
        store=store.read_id(),
        collection="docs",
        dimension=DIMENSION,
        sequence=store.read_sequence(),
        slots=index.entries,
        kind=index.kind,
        nlist=index.nlist,
    )
    header = msgspec.structs.replace(header, **changes)
    questions = golden.record(index, collection.slots, nprobe=4)
    return snapshot.save(snapshots_of(tmp_path, "docs"), index, header, questions)


def answers_exactly(collection: Collection, vectors: np.ndarray) -> bool:
    """Whether every vector finds what exact search over ``vectors`` finds, all lists visited."""
    visible = collection.visible("public")
    for query in VECTORS[::7]:
        found = collection.nearest(query, 5, visible, nprobe=64)
        best = np.sort(vectors @ query)[::-1][:5]
        if not np.allclose(found.cosines, best, atol=1e-5):
            return False
    return True


@plans
def test_a_store_without_snapshot_gives_the_whole_collection(
    store: Store, row: CollectionRow, plan: Plan, tmp_path: Path
) -> None:
    put(store, row, 0, 300)

    loaded = load_collection(store, row, plan, tmp_path, now=5.0)

    assert loaded.refused is None
    assert (loaded.collection.size, loaded.collection.version) == (300, "docs@300")
    assert loaded.collection.index.kind == ("flat" if plan is PLAN else "ivf")
    assert answers_exactly(loaded.collection, VECTORS[:300])
    assert loaded.condition.unsaved_since == 5.0
    assert loaded.condition.lexical_stale_since is None


@plans
def test_a_snapshot_is_brought_up_to_date_with_what_changed_since(
    store: Store, row: CollectionRow, plan: Plan, tmp_path: Path
) -> None:
    put(store, row, 0, 250)
    save(store, load_collection(store, row, plan, tmp_path, now=0.0).collection, tmp_path)
    put(store, row, 250, 300)
    put(store, row, 10, 20, shift=300)

    loaded = load_collection(store, row, plan, tmp_path, now=5.0)

    expected = VECTORS[:300].copy()
    expected[10:20] = VECTORS[310:320]
    assert loaded.refused is None
    assert loaded.collection.size == 300
    assert answers_exactly(loaded.collection, expected)
    assert loaded.condition.unsaved_since == 5.0


@plans
def test_a_snapshot_of_the_present_store_needs_no_saving(
    store: Store, row: CollectionRow, plan: Plan, tmp_path: Path
) -> None:
    put(store, row, 0, 250)
    save(store, load_collection(store, row, plan, tmp_path, now=0.0).collection, tmp_path)

    loaded = load_collection(store, row, plan, tmp_path, now=5.0)

    assert loaded.condition.unsaved_since is None
    assert answers_exactly(loaded.collection, VECTORS[:250])


@pytest.mark.parametrize(
    "changes", [{"store": "other"}, {"sequence": 10_000}], ids=["another-store", "ahead-of-it"]
)
def test_a_snapshot_that_does_not_fit_the_store_is_refused_and_thrown_away(
    store: Store, row: CollectionRow, tmp_path: Path, changes: dict[str, object]
) -> None:
    put(store, row, 0, 120)
    collection = load_collection(store, row, PLAN, tmp_path, now=0.0).collection
    folder = save(store, collection, tmp_path, changes)

    loaded = load_collection(store, row, PLAN, tmp_path, now=5.0)

    assert loaded.refused is Cause.STORE
    assert not folder.exists()
    assert answers_exactly(loaded.collection, VECTORS[:120])


def test_an_empty_collection_loads(store: Store, row: CollectionRow, tmp_path: Path) -> None:
    loaded = load_collection(store, row, PLAN, tmp_path, now=0.0)

    assert loaded.collection.size == 0
    assert loaded.condition.unsaved_since is None


def test_an_index_that_does_not_find_its_own_vectors_never_serves(
    store: Store, row: CollectionRow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, row, 0, 120)
    monkeypatch.setattr(loading, "extend_ivf", lambda ivf, vectors, slots: None)

    with pytest.raises(WrongIndex, match="docs"):
        load_collection(store, row, WITH_IVF, tmp_path, now=0.0)
