"""The benchmarks of the bus and of steering run as documented and say what they measured; no figure is judged here."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from benchmarks.report import Report
from benchmarks.worker_memory import TOKENS_PER_PASSAGE

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]


def quickly(benchmark: str, folder: Path) -> tuple[Report, str]:
    """Run a benchmark as documented; return its report and what it printed."""
    written = folder / f"{benchmark}.json"
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{benchmark}", "--quick", "--json", str(written)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = msgspec.json.decode(written.read_bytes(), type=Report)
    assert all(figure.low <= figure.value <= figure.high for figure in report.figures)
    assert report.figures[0].name in done.stdout
    return report, done.stdout


def test_the_hop_benchmark_runs_and_reports_every_variant(tmp_path: Path) -> None:
    report, _ = quickly("bus_hop", tmp_path)

    assert {figure.rounds for figure in report.figures if figure.unit == "x"} == {2}
    assert any("our bus / raw echo" in figure.name and figure.aim for figure in report.figures)
    assert report.machine.cores >= 1


def test_the_delivery_benchmark_reports_ours_beside_the_paths_that_need_nothing_else(
    tmp_path: Path,
) -> None:
    report, _ = quickly("delivery", tmp_path)

    names = [figure.name for figure in report.figures]
    for way in ("ours, through the controller", "ours, --direct", "raw NATS", "NATS KV watch"):
        assert any(way in name for name in names), way
    assert sum(figure.aim is not None for figure in report.figures) == 7


def test_the_fault_benchmark_puts_every_fault_beside_its_aim(tmp_path: Path) -> None:
    report, _ = quickly("delivery_faults", tmp_path)

    aimed = " ".join(figure.name for figure in report.figures if figure.aim is not None)
    for fault in ("after a restart", "hint lost", "late joiner", "controller killed"):
        assert fault in aimed, fault


def test_the_cost_of_steering_is_reported_part_by_part(tmp_path: Path) -> None:
    report, _ = quickly("steering_cost", tmp_path)

    values = {figure.name: figure.value for figure in report.figures}
    assert values["steering per search, all services together"] > 0
    assert any(name.startswith("sampler.observe") for name in values)
    assert any(name.startswith("p50 of a hop, unsteered") for name in values)


def test_the_limits_of_one_worker_are_measured_by_index_and_with_vectors_elsewhere(
    tmp_path: Path,
) -> None:
    report, _ = quickly("faiss_limits", tmp_path)

    value = {figure.name: figure.value for figure in report.figures}
    for kind in ("flat", "hnsw", "ivf"):
        assert value[f"5,000 x 128 {kind}: memory per vector"] >= 4 * 128
    here, there, with_tokens = (
        value[f"worker's memory per passage x 384, vectors in {where}, no index"]
        for where in (
            "memory, 0 token vectors",
            "milvus, 0 token vectors",
            f"memory, {TOKENS_PER_PASSAGE} token vectors",
        )
    )
    assert there < here < with_tokens
