"""Every benchmark in turn: ``python -m benchmarks [--quick] [--long] [NAME ...]``; `make bench` runs it.

Each is a command of its own, run in a process of its own; its report is kept as JSON below
``var/bench/results``, where ``python -m benchmarks.report`` finds it.
"""

import argparse
import subprocess
import sys
from dataclasses import dataclass

from benchmarks.report import RESULTS, read, table


@dataclass(frozen=True, slots=True)
class Run:
    """One command."""

    module: str
    """Below ``benchmarks``."""
    options: tuple[str, ...] = ()
    """For what it measures by default."""
    label: str = ""
    """Name of its report; empty takes the module's."""

    @property
    def name(self) -> str:
        """What the user types."""
        return self.label or self.module


SPEED = (
    Run("bus_hop"),
    Run("cold_start"),
    Run("end_to_end"),
    Run("ray_serve"),
    Run("delivery"),
    Run("delivery_faults"),
    Run("steering_cost"),
    Run("encoder_speed"),
    Run("encoder_service"),
    Run("retriever_overhead", ("--passages", "100000")),
    Run("freshness"),
    Run("mapper_speed"),
    Run("search_latency"),
)
"""Every speed claim, in about half an hour; cold_start fills the home that the others use."""

LONG = (
    Run("retriever_overhead", ("--passages", "1000000"), "retriever_overhead_1m"),
    Run("lexical_engines", ("--long",)),
    Run("faiss_limits"),
    Run("encoder_quality"),
    Run("retrieval_quality"),
    Run("rerank_lift"),
    Run("rerank_ablation"),
    Run("query_models"),
    Run("mapper_quality"),
    Run("verdicts"),
    Run("simulation"),
)
"""What takes many minutes each, or gigabytes: with --long, or by name."""


def main() -> int:
    """Run what was asked for; the exit status is 1 when a command failed, never for a missed aim."""
    known = {run.name: run for run in (*SPEED, *LONG)}
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    parser.add_argument("--quick", action="store_true", help="only to see that they run")
    parser.add_argument("--long", action="store_true", help="also what takes many minutes each")
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in known]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
    chosen = [known[name] for name in given.names] or [*SPEED, *(LONG if given.long else ())]
    failed = [run.name for run in chosen if not _succeeds(run, quick=given.quick)]
    _conclude([run for run in chosen if run.name not in failed], failed)
    return 1 if failed else 0


def _succeeds(run: Run, *, quick: bool) -> bool:
    command = [sys.executable, "-m", f"benchmarks.{run.module}", *run.options]
    command += ["--json", str(RESULTS / f"{run.name}.json")]
    if quick:
        command.append("--quick")
    return subprocess.run(command, check=False).returncode == 0


def _conclude(done: list[Run], failed: list[str]) -> None:
    aimed = [
        figure
        for run in done
        for figure in read(RESULTS / f"{run.name}.json").figures
        if figure.aim is not None
    ]
    print(f"\n## aims\n\n{table(aimed)}")
    for name in failed:
        print(f"\n{name} failed; its message stands above")


if __name__ == "__main__":
    sys.exit(main())
