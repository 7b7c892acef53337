"""An engine in a process of its own finds what it finds here, and says so when it ends."""

from pathlib import Path

import pytest

from benchmarks.engines.roster import OURS
from benchmarks.processes import ChildFailed
from benchmarks.rounds import Plan, alternate_blocks
from benchmarks.search_contender import build, opened
from benchmarks.search_sample import Sample, prepare
from benchmarks.search_sizes import Size

LIMIT = 50


@pytest.fixture
async def sample(tmp_path: Path) -> Sample:
    return await prepare(tmp_path, Size(2000, 128), seed=0)


@pytest.mark.parametrize("name", [OURS, "faiss"])
async def test_an_engine_is_built_tuned_and_measured_in_its_own_process(
    name: str, sample: Sample, tmp_path: Path
) -> None:
    await build(name, sample, tmp_path / name, timeout_s=60)

    async with opened(name, sample, tmp_path / name, 1, LIMIT) as contender:
        tuned = await contender.tune(0.99)
        rounds = await alternate_blocks({"it": contender.at(tuned.effort)}, Plan(2, 30))
        held_out = await contender.recall(sample.measured)
        resident = contender.resident_mib()

    assert tuned.reached
    assert held_out > 0.95
    assert [len(each["it"].latencies_ms) for each in rounds] == [30, 30]
    assert resident > 10


async def test_an_index_that_stands_is_not_built_again(sample: Sample, tmp_path: Path) -> None:
    first = await build("faiss", sample, tmp_path / "faiss", timeout_s=60)

    assert await build("faiss", sample, tmp_path / "faiss", timeout_s=60) == first


async def test_an_engine_that_ends_says_its_last_lines(sample: Sample, tmp_path: Path) -> None:
    (tmp_path / "faiss").mkdir()  # nothing was built in it

    with pytest.raises(ChildFailed, match="could not open"):
        async with opened("faiss", sample, tmp_path / "faiss", 1, LIMIT):
            pass


async def test_queries_are_no_passages_and_both_halves_are_disjoint(sample: Sample) -> None:
    passages = {row.tobytes() for row in sample.made.vectors}

    assert not passages & {row.tobytes() for row in sample.made.queries}
    assert not set(sample.tuning) & set(sample.measured)
