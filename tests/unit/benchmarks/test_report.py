"""Reports survive their JSON, and replace exactly what stands between the README's marks."""

from pathlib import Path

import pytest

from benchmarks.figure import AT_MOST, Aim, over_rounds
from benchmarks.machine import facts
from benchmarks.report import BEGIN, END, Report, inserted, read, show, table


def report() -> Report:
    missed = over_rounds("hop", "x", [2.0, 1.9, 2.1], n=30, aim=Aim(AT_MOST, 1.8))
    return Report(
        benchmark="bus_hop",
        command="python -m benchmarks.bus_hop",
        machine=facts(),
        figures=[missed, over_rounds("p50", "us", [200.0], n=10)],
        notes=["A note."],
    )


def test_a_report_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    written = report()

    show(written, tmp_path / "deep" / "bus_hop.json")

    assert read(tmp_path / "deep" / "bus_hop.json") == written


def test_a_missed_aim_stands_out_and_a_figure_without_aim_is_not_judged() -> None:
    aimed, plain = table(report().figures).splitlines()[2:]

    assert "<= 1.80" in aimed
    assert "**missed**" in aimed
    assert plain.endswith("|  |  |")


def test_only_what_stands_between_the_marks_is_replaced() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"

    once = inserted(page, [report()])

    assert once.startswith(f"before\n{BEGIN}\n\n### Aims")
    assert once.endswith(f"{END}\nafter\n")
    assert "old" not in once
    assert inserted(once, [report()]) == once


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="marks"):
        inserted("nothing here", [report()])
