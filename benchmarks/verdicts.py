"""Healthy canaries taken back, bad ones found: the judge's test beside the rules that people use instead.

Simulated requests of a canary at 5 %, its control group and the rest of the stable release over two
hours: independent, at constant rates (real bursts raise every rule's false alarms). The judge's count
test is looked at every second, and what it says is confirmed by the product's own code.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.figure import AT_LEAST, AT_MOST, Aim, Figure, percentile
from benchmarks.report import Report, begin, show
from benchmarks.verdict_rules import RULES, Run, Seconds

SECONDS = 120 * 60
SHARE, BASE_RATE = 0.05, 0.005
RUNS, QUICK_RUNS, SEED = 1000, 10, 20261121
OURS = next(iter(RULES))
HEALTHY_AT_MOST, BAD_AT_LEAST = 1.5, 99.0
"""Percent of canaries: aims for ours."""


@dataclass(frozen=True, slots=True)
class Case:
    """One situation."""

    rps: int
    """Requests a second of everything together."""
    rate: float
    """Bad requests of the canary; the stable release's are 0.5 %."""

    @property
    def healthy(self) -> bool:
        """Whether the canary is as good as the stable release."""
        return self.rate == BASE_RATE

    def __str__(self) -> str:
        return f"{'healthy' if self.healthy else f'{self.rate:.1%} bad'}, {self.rps}/s"


CASES = tuple(Case(rps, rate) for rate in (BASE_RATE, 0.01, 0.025, 0.2) for rps in (2, 20, 200))


@dataclass(frozen=True, slots=True)
class Cell:
    """One rule in one case."""

    runs: int
    times: list[float]
    """Seconds until the canary was taken back, of the runs in which it was."""

    @property
    def percent(self) -> float:
        """Percent of runs in which the canary was taken back."""
        return 100 * len(self.times) / self.runs

    def interval(self) -> tuple[float, float]:
        """Return the Wilson 95 % interval of :attr:`percent`."""
        z, n, share = 1.96, self.runs, len(self.times) / self.runs
        centre = (share + z * z / (2 * n)) / (1 + z * z / n)
        spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        low, high = 100 * (centre - spread), 100 * (centre + spread)
        return (0.0 if not self.times else low), (100.0 if len(self.times) == n else high)

    def __str__(self) -> str:
        low, high = self.interval()
        shown = f"{self.percent:.1f} % [{low:.1f}, {high:.1f}]"
        if len(self.times) <= 0.05 * self.runs:
            return shown
        return (
            f"{shown}, {clock(percentile(self.times, 0.5))} ({clock(percentile(self.times, 0.95))})"
        )


Table = dict[Case, dict[str, Cell]]


def drawn(rng: np.random.Generator, case: Case) -> Run:
    """Return one simulated run."""
    canary, control, rest = (
        rng.poisson(case.rps * share, SECONDS) for share in (SHARE, SHARE, 1 - 2 * SHARE)
    )
    canary_bad: Seconds = rng.binomial(canary, case.rate)
    control_bad, rest_bad = (rng.binomial(part, BASE_RATE) for part in (control, rest))
    return Run(canary, canary_bad, control, control_bad, control + rest, control_bad + rest_bad)


def measure(runs: int, seed: int, cases: Sequence[Case] = CASES) -> Table:
    """Return every rule in every case; all rules see the same runs."""
    table: Table = {}
    for number, case in enumerate(cases):
        times: dict[str, list[float]] = {rule: [] for rule in RULES}
        for run_number in range(runs):
            run = drawn(np.random.default_rng((seed, number, run_number)), case)
            for name, rule in RULES.items():
                at = rule(run)
                if at is not None:
                    times[name].append(at)
        table[case] = {name: Cell(runs, found) for name, found in times.items()}
        print(f"{case}: {table[case][OURS]}", file=sys.stderr)
    return table


def figures(table: Table) -> list[Figure]:
    """Return what ours did; low and high are the 95 % interval of a share, and the quartiles of a time."""
    found = []
    for case, cells in table.items():
        cell = cells[OURS]
        low, high = cell.interval()
        found.append(
            Figure(
                name=f"canaries taken back by ours: {case}",
                unit="%",
                value=cell.percent,
                low=low,
                high=high,
                rounds=1,
                n=cell.runs,
                aim=_aim(case),
            )
        )
        if not case.healthy and cell.times:
            quarters = [percentile(cell.times, share) for share in (0.25, 0.5, 0.75)]
            found.append(
                Figure(
                    name=f"time until ours takes it back: {case}",
                    unit="s",
                    value=quarters[1],
                    low=quarters[0],
                    high=quarters[2],
                    rounds=1,
                    n=len(cell.times),
                )
            )
    return found


def _aim(case: Case) -> Aim | None:
    if case.healthy:
        return Aim(AT_MOST, HEALTHY_AT_MOST)
    return Aim(AT_LEAST, BAD_AT_LEAST) if case.rate >= 0.2 else None


def beside(table: Table) -> list[str]:
    """Return one Markdown table per rate of the canary, a rule to a line."""
    pages = []
    for rate in dict.fromkeys(case.rate for case in table):
        cases = [case for case in table if case.rate == rate]
        lines = [f"| rule | {' | '.join(map(str, cases))} |", "|---" * (len(cases) + 1) + "|"]
        lines += [
            f"| {rule} | {' | '.join(str(table[case][rule]) for case in cases)} |" for rule in RULES
        ]
        pages.append("\n".join(lines))
    return pages


def clock(seconds: float) -> str:
    """Return a time for people: ``12 s``, ``35 min``."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verdicts", description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="per case, default %(default)s")
    parser.add_argument("--seed", type=int, default=SEED, help="default %(default)s")
    parser.add_argument("--quick", action="store_true", help=f"--runs {QUICK_RUNS}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the report there")
    given = parser.parse_args(argv)
    runs = QUICK_RUNS if given.quick else given.runs
    machine = begin("verdicts")
    table = measure(runs, given.seed)
    notes = [
        f"{runs} runs of two hours per case, seed {given.seed}: a canary at 5 %, the stable release at "
        "0.5 % bad requests. Percent of canaries taken back with its 95 % interval; where more than 5 % "
        "were, the median time until then and the 95th percentile.",
        *beside(table),
    ]
    command = f"python -m benchmarks.verdicts --runs {runs} --seed {given.seed}"
    report = Report(
        benchmark="verdicts",
        command=command,
        machine=machine,
        figures=figures(table),
        notes=notes,
    )
    show(report, given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
