"""A change costs its own rows on disk, whatever the size of the collection: the index is not written for it."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from services.retriever.catalogue import Catalogue
from services.retriever.dense import snapshot
from services.retriever.passages.loading import snapshots_of
from services.retriever.passages.store import FILE
from tests.unit.retriever.corpora import PLAN, clustered
from tests.unit.retriever.stream import feed_messages, gone, message
from trimtab.telemetry import logs

COMPONENT = "hybrid@1"
WITH_IVF = msgspec.structs.replace(PLAN, dense=msgspec.structs.replace(PLAN.dense, flat_below=100))
SMALL, LARGE = 300, 6000
CHANGES = 40
VECTORS = clustered(np.random.default_rng(1), LARGE + CHANGES, 32)


def on_disk(state: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of every file below a folder."""
    return {
        str(path.relative_to(state)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in state.rglob("*")
        if path.is_file()
    }


def log_bytes(state: Path) -> int:
    """Size of the store's write-ahead log: what was written since it was folded into the file."""
    return (state / f"{FILE}-wal").stat().st_size


async def filled(state: Path, passages: int) -> None:
    """A collection with an index, a snapshot of it on disk, and an orderly stop."""
    catalogue = Catalogue(state, 700_000, logs.get("retriever", "r-0"))
    await catalogue.load()
    await catalogue.add(COMPONENT, WITH_IVF)
    everything = feed_messages([message(f"p{n}", VECTORS[n]) for n in range(passages)])
    for start in range(0, passages, 256):
        await catalogue.apply(everything[start : start + 256])
    await catalogue.caretaker.settle()
    await catalogue.close()


async def written_per_change(state: Path, passages: int) -> float:
    """Return the mean bytes in the log of single upserts and removals; nothing else may be written."""
    await filled(state, passages)
    catalogue = Catalogue(state, 700_000, logs.get("retriever", "r-0"))
    await catalogue.load()
    await catalogue.add(COMPONENT, WITH_IVF)
    catalogue.caretaker.start()
    assert catalogue.get(COMPONENT, "docs").kind == "ivf"
    saved = snapshot.newest(snapshots_of(state, "docs", COMPONENT))
    before, log = on_disk(state), log_bytes(state)

    for number in range(CHANGES):
        sequence = passages + 2 * number + 1
        new = message(f"new{number}", VECTORS[passages + number])
        await catalogue.apply(feed_messages([new, gone(f"p{number}")], sequence))
    per_change = (log_bytes(state) - log) / (2 * CHANGES)

    touched = {name for name, facts in on_disk(state).items() if before.get(name) != facts}
    assert {name.removeprefix(FILE) for name in touched} <= {"", "-wal", "-shm"}
    assert snapshot.newest(snapshots_of(state, "docs", COMPONENT)) == saved
    await catalogue.close()
    return per_change


@pytest.mark.parametrize("passages", [SMALL, LARGE])
async def test_a_change_writes_its_rows_and_no_index(tmp_path: Path, passages: int) -> None:
    per_change = await written_per_change(tmp_path, passages)

    assert 0 < per_change < 64 * 1024


async def test_a_change_of_a_collection_twenty_times_as_large_writes_no_more(
    tmp_path: Path,
) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    small.mkdir()
    large.mkdir()

    few = await written_per_change(small, SMALL)
    many = await written_per_change(large, LARGE)

    index = snapshot.newest(snapshots_of(large, "docs", COMPONENT))
    assert index is not None
    assert many < 2 * few
    assert many < (index / snapshot.INDEX).stat().st_size / 5
