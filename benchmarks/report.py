"""Tables and JSON of measured figures; ``python -m benchmarks.report --write`` puts them into the README."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from benchmarks.figure import Figure, number
from benchmarks.machine import Machine, facts

RESULTS = Path(__file__).parents[1] / "var" / "bench" / "results"
"""Where `make bench` keeps reports."""

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What one run of one benchmark found."""

    benchmark: str
    """Module name below ``benchmarks``."""
    command: str
    """What was run."""
    machine: Machine
    """Where."""
    figures: list[Figure]
    """In the order in which they are read."""
    notes: list[str] = []
    """What a reader must know to read the figures."""


def begin(benchmark: str) -> Machine:
    """Say on stderr what starts and return the machine's facts, taken before there is any load."""
    machine = facts()
    print(f"{benchmark}: {machine}", file=sys.stderr)
    return machine


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as a Markdown table."""
    lines = ["| figure | median | min - max | rounds, n | aim | |", "|---|---|---|---|---|---|"]
    for each in figures:
        spread = f"{number(each.low)} - {number(each.high)}"
        verdict = {None: "", True: "met", False: "**missed**"}[each.met]
        lines.append(
            f"| {each.name} | {number(each.value)} {each.unit} | {spread} | {each.rounds}, {each.n} "
            f"| {each.aim or ''} | {verdict} |"
        )
    return "\n".join(lines)


def text(report: Report) -> str:
    """Return a report as Markdown."""
    parts = [f"### {report.benchmark}", f"`{report.command}`", str(report.machine)]
    return "\n\n".join([*parts, table(report.figures), *report.notes])


def show(report: Report, to: Path | None) -> None:
    """Print a report and, when ``to`` is given, write it there as JSON."""
    print(f"\n{text(report)}")
    if to is not None:
        save(report, to)


def save(report: Report, to: Path) -> None:
    """Write a report as JSON."""
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


def read(path: Path) -> Report:
    """Return a report that was written with --json.

    Raises:
        msgspec.DecodeError: the file holds none.
    """
    return msgspec.json.decode(path.read_bytes(), type=Report)


def inserted(page: str, reports: Iterable[Report]) -> str:
    """Return a page with the reports between its two marks, what stood there replaced.

    Raises:
        ValueError: a mark is missing.
    """
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page needs the marks {BEGIN} and {END}")
    found = list(reports)
    aimed = [figure for report in found for figure in report.figures if figure.aim is not None]
    body = "\n\n".join([f"### Aims\n\n{table(aimed)}", *(text(report) for report in found)])
    return f"{head}{begin}\n\n{body}\n\n{end}{tail}"


def main() -> None:
    """Show the reports that are kept, or write them into the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help=f"default: all below {RESULTS.name}/")
    parser.add_argument("--write", action="store_true", help="replace the README's tables")
    given = parser.parse_args()
    reports = [read(path) for path in given.files or sorted(RESULTS.glob("*.json"))]
    if given.write:
        README.write_text(inserted(README.read_text(), reports))
    else:
        for report in reports:
            show(report, None)


if __name__ == "__main__":
    main()
