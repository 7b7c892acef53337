"""Tables and JSON of measured figures; ``python -m benchmarks.report FILE...`` renders the README's rows."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.figure import Figure, number
from benchmarks.machine import Machine, facts


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


def show(report: Report, to: Path | None) -> None:
    """Print a report and, when ``to`` is given, write it there as JSON."""
    print(f"\n## {report.benchmark}\n\n`{report.command}`\n{report.machine}\n")
    print(table(report.figures))
    for note in report.notes:
        print(f"\n{note}")
    if to is not None:
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


def main() -> None:
    """Render reports that were written with --json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    for path in parser.parse_args().files:
        show(msgspec.json.decode(path.read_bytes(), type=Report), None)


if __name__ == "__main__":
    main()
