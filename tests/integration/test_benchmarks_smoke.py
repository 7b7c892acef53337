"""The hop benchmark runs as documented and says what it measured; no figure is judged here."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from benchmarks.report import Report

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]


def test_the_hop_benchmark_runs_and_reports_every_variant(tmp_path: Path) -> None:
    written = tmp_path / "bus_hop.json"

    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.bus_hop", "--quick", "--json", str(written)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    report = msgspec.json.decode(written.read_bytes(), type=Report)
    assert {figure.rounds for figure in report.figures if figure.unit == "x"} == {2}
    assert all(figure.low <= figure.value <= figure.high for figure in report.figures)
    assert any("our bus / raw echo" in figure.name and figure.aim for figure in report.figures)
    assert report.machine.cores >= 1
    assert report.figures[0].name in done.stdout
