"""Snapshots: whole or not there, believed only after checksum, store, shape and golden queries."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from services.retriever.dense import golden, kinds, snapshot
from services.retriever.dense.index import DenseIndex
from services.retriever.dense.ivf import IvfLists, train_ivf
from services.retriever.dense.snapshot import Cause, Header, SnapshotRefused
from services.retriever.plan import IndexPlan, nlist_for
from tests.unit.retriever.corpora import DIMENSION, clustered
from trimtab.artifacts.manifest import write_manifest

VECTORS = clustered(np.random.default_rng(0), 400, 12)
SLOTS = np.arange(400, dtype=np.int64)


def make(vectors: NDArray[np.float32] = VECTORS) -> IvfLists:
    lists = train_ivf(vectors, nlist_for(400))
    lists.extend(vectors, SLOTS)
    return lists


def asked(vectors: NDArray[np.float32] = VECTORS) -> NDArray[np.float32]:
    return vectors[golden.spread(SLOTS)]


def header(lists: IvfLists, sequence: int = 400) -> Header:
    return Header(
        store="s1",
        collection="docs",
        component="hybrid@1",
        dimension=DIMENSION,
        sequence=sequence,
        slots=lists.entries,
        nlist=lists.nlist,
    )


def save(folder: Path, lists: IvfLists, sequence: int = 400) -> Path:
    questions = golden.record(lists, asked(), nprobe=4)
    return snapshot.seal(snapshot.write(folder, lists), header(lists, sequence), questions)


def load(folder: Path) -> tuple[DenseIndex, Header]:
    return snapshot.load(folder, IndexPlan(), kinds.read, lambda found: found.store == "s1")


def cause_of(folder: Path) -> Cause:
    with pytest.raises(SnapshotRefused) as caught:
        load(folder)
    return caught.value.cause


def rehash(folder: Path) -> None:
    """Make the manifest fit the files again: what a checksum cannot see from here on."""
    manifest = json.loads((folder / "manifest.json").read_text())
    write_manifest(
        folder,
        name=manifest["name"],
        version=manifest["version"],
        kind=manifest["kind"],
        metadata=manifest["metadata"],
    )


def test_what_was_saved_is_loaded_with_its_header(tmp_path: Path) -> None:
    lists = make()
    saved = save(tmp_path / "docs", lists)

    loaded, found = load(saved)

    assert snapshot.newest(tmp_path / "docs") == saved
    assert found == header(lists)
    assert (loaded.dimension, loaded.entries, loaded.nlist) == (DIMENSION, 400, lists.nlist)
    assert golden.finds_itself(loaded, VECTORS, nprobe=1)


def test_every_flipped_bit_of_the_index_is_caught_by_the_checksum(tmp_path: Path) -> None:
    saved = save(tmp_path, make())
    path = saved / snapshot.INDEX
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(1)

    for _ in range(25):
        at, bit = int(rng.integers(len(data))), 1 << int(rng.integers(8))
        data[at] ^= bit
        path.write_bytes(data)
        assert cause_of(saved) is Cause.CHECKSUM
        data[at] ^= bit


def test_wrong_numbers_under_a_right_checksum_are_caught_by_the_golden_queries(
    tmp_path: Path,
) -> None:
    saved = save(tmp_path, make())
    path = saved / snapshot.INDEX
    data = bytearray(path.read_bytes())
    at = data.rindex(VECTORS[0].tobytes())
    data[at : at + 4 * DIMENSION] = VECTORS[399].tobytes()
    path.write_bytes(data)
    rehash(saved)

    assert cause_of(saved) is Cause.GOLDEN


def test_half_an_index_under_a_right_checksum_is_caught_by_its_shape(tmp_path: Path) -> None:
    saved = save(tmp_path, make())
    path = saved / snapshot.INDEX
    path.write_bytes(path.read_bytes()[:-64])
    rehash(saved)

    assert cause_of(saved) is Cause.SHAPE


def test_a_snapshot_of_another_store_is_refused(tmp_path: Path) -> None:
    index = make()
    foreign = msgspec.structs.replace(header(index), store="s2")
    questions = golden.record(index, asked(), 4)
    saved = snapshot.seal(snapshot.write(tmp_path, index), foreign, questions)

    assert cause_of(saved) is Cause.STORE


@pytest.mark.parametrize("name", ["manifest.json", snapshot.GOLDEN, snapshot.INDEX])
def test_a_missing_file_is_refused(name: str, tmp_path: Path) -> None:
    saved = save(tmp_path, make())
    (saved / name).unlink()

    assert cause_of(saved) is Cause.CHECKSUM


def test_a_newer_snapshot_replaces_the_older_one(tmp_path: Path) -> None:
    index = make()
    save(tmp_path, index, sequence=10)
    newer = save(tmp_path, index, sequence=20)

    assert [path.name for path in tmp_path.iterdir()] == [newer.name]
    assert save(tmp_path, index, sequence=20) == newer


def test_a_snapshot_that_was_not_finished_is_not_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = make()
    old = save(tmp_path, index, sequence=10)

    def full(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(snapshot, "write_manifest", full)
    with pytest.raises(OSError, match="no space"):
        save(tmp_path, index, sequence=20)
    (tmp_path / ".partial-killed").mkdir()

    assert snapshot.newest(tmp_path) == old
    assert load(old)[1].sequence == 10
    assert snapshot.newest(tmp_path / "nowhere") is None


def test_golden_queries_allow_equal_passages_to_change_places() -> None:
    vectors = np.repeat(VECTORS[:8], 50, axis=0)
    lists = make(vectors)
    questions = golden.record(lists, asked(vectors), nprobe=1)
    swapped = [
        golden.GoldenQuery(query.vector, list(reversed(query.slots)), query.cosines)
        for query in questions.queries
    ]

    assert golden.passes(lists, golden.GoldenSet(nprobe=1, queries=swapped))


def test_freshly_built_lists_find_their_own_vectors() -> None:
    lists = make()

    assert golden.finds_itself(lists, asked(), nprobe=1)
    lists.replace(np.zeros((1, DIMENSION), dtype=np.float32), SLOTS[:1])
    assert not golden.finds_itself(lists, asked(), nprobe=1)
