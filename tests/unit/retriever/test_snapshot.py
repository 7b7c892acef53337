"""Snapshots: whole or not there, believed only after checksum, store, shape and golden queries."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from services.retriever import golden, snapshot
from services.retriever.index import DenseIndex, extend_ivf, nlist_for, train_ivf
from services.retriever.snapshot import Cause, Header, SnapshotRefused
from tests.unit.retriever.corpora import DIMENSION, clustered
from trimtab.artifacts.manifest import write_manifest

VECTORS = clustered(np.random.default_rng(0), 400, 12)
SLOTS = np.arange(400, dtype=np.int64)


def make(shape: str) -> DenseIndex:
    index = DenseIndex(DIMENSION)
    index.put(SLOTS, VECTORS)
    if shape == "ivf":
        ivf = train_ivf(VECTORS, nlist_for(400))
        extend_ivf(ivf, VECTORS, SLOTS)
        index.adopt(ivf, SLOTS[:0])
    return index


def header(index: DenseIndex, sequence: int = 400) -> Header:
    return Header(
        store="s1",
        collection="docs",
        dimension=DIMENSION,
        sequence=sequence,
        slots=index.entries,
        kind=index.kind,
        nlist=index.nlist,
    )


def save(folder: Path, index: DenseIndex, sequence: int = 400) -> Path:
    questions = golden.record(index, SLOTS, nprobe=4)
    return snapshot.save(folder, index, header(index, sequence), questions)


def load(folder: Path) -> tuple[DenseIndex, Header]:
    return snapshot.load(folder, lambda found: found.store == "s1", lambda: VECTORS)


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


both = pytest.mark.parametrize("shape", ["flat", "ivf"])


@both
def test_what_was_saved_is_loaded_with_its_header(shape: str, tmp_path: Path) -> None:
    index = make(shape)
    saved = save(tmp_path / "docs", index)

    loaded, found = load(saved)

    assert snapshot.newest(tmp_path / "docs") == saved
    assert found == header(index)
    assert (loaded.kind, loaded.entries, loaded.size) == (shape, 400, 400)
    assert np.array_equal(loaded.vectors(SLOTS), VECTORS)


@both
def test_every_flipped_bit_of_the_index_is_caught_by_the_checksum(
    shape: str, tmp_path: Path
) -> None:
    saved = save(tmp_path, make(shape))
    path = saved / snapshot.INDEX
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(1)

    for _ in range(25):
        at, bit = int(rng.integers(len(data))), 1 << int(rng.integers(8))
        data[at] ^= bit
        path.write_bytes(data)
        assert cause_of(saved) is Cause.CHECKSUM
        data[at] ^= bit


@both
def test_wrong_numbers_under_a_right_checksum_are_caught_by_the_golden_queries(
    shape: str, tmp_path: Path
) -> None:
    saved = save(tmp_path, make(shape))
    path = saved / snapshot.INDEX
    data = bytearray(path.read_bytes())
    at = data.rindex(VECTORS[0].tobytes())
    data[at : at + 4 * DIMENSION] = VECTORS[399].tobytes()
    path.write_bytes(data)
    rehash(saved)

    assert cause_of(saved) is Cause.GOLDEN


@both
def test_half_an_index_under_a_right_checksum_is_caught_by_its_shape(
    shape: str, tmp_path: Path
) -> None:
    saved = save(tmp_path, make(shape))
    path = saved / snapshot.INDEX
    path.write_bytes(path.read_bytes()[:-64])
    rehash(saved)

    assert cause_of(saved) is Cause.SHAPE


def test_a_snapshot_of_another_store_is_refused(tmp_path: Path) -> None:
    index = make("flat")
    foreign = msgspec.structs.replace(header(index), store="s2")
    saved = snapshot.save(tmp_path, index, foreign, golden.record(index, SLOTS, 4))

    assert cause_of(saved) is Cause.STORE


@pytest.mark.parametrize("name", ["manifest.json", snapshot.GOLDEN, snapshot.INDEX])
def test_a_missing_file_is_refused(name: str, tmp_path: Path) -> None:
    saved = save(tmp_path, make("flat"))
    (saved / name).unlink()

    assert cause_of(saved) is Cause.CHECKSUM


def test_a_newer_snapshot_replaces_the_older_one(tmp_path: Path) -> None:
    index = make("flat")
    save(tmp_path, index, sequence=10)
    newer = save(tmp_path, index, sequence=20)

    assert [path.name for path in tmp_path.iterdir()] == [newer.name]
    assert save(tmp_path, index, sequence=20) == newer


def test_a_snapshot_that_was_not_finished_is_not_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = make("flat")
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
    index = DenseIndex(DIMENSION)
    index.put(SLOTS, np.repeat(VECTORS[:8], 50, axis=0))
    questions = golden.record(index, SLOTS, nprobe=1)
    swapped = [
        golden.GoldenQuery(query.vector, list(reversed(query.slots)), query.cosines)
        for query in questions.queries
    ]

    assert golden.passes(index, golden.GoldenSet(nprobe=1, queries=swapped))


def test_golden_queries_of_an_empty_index_are_none_and_pass() -> None:
    index = DenseIndex(DIMENSION)
    questions = golden.record(index, SLOTS[:0], nprobe=1)

    assert questions.queries == []
    assert golden.passes(index, questions)
    assert golden.finds_itself(index, [], nprobe=1)


@both
def test_a_freshly_built_index_finds_its_own_vectors(shape: str) -> None:
    index = make(shape)

    assert golden.finds_itself(index, [0, 200, 399], nprobe=1)
    index.put(np.array([200]), np.zeros((1, DIMENSION), dtype=np.float32))
    assert not golden.finds_itself(index, [0, 200, 399], nprobe=1)
