"""The control plane under thousands of random histories: every invariant, how often it was checked, what broke it.

Each seed is one deployment in virtual time: three workers, two controllers, a ramp, and between 4 and
14 orders, crashes, freezes, cut links, restarts and noisy spells around it, with clocks that disagree. The
code of apply, lease, fencing, judge and state machine is the product's own. ``--planted`` plants known bugs
instead, and says after how many seeds each was found.
"""

import argparse
import shlex
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.figure import AT_LEAST, AT_MOST, Aim, Figure
from benchmarks.fleetsim.incidents import plan
from benchmarks.fleetsim.planted import BUGS, found
from benchmarks.fleetsim.run import Result, account, shortest, simulate
from benchmarks.report import Report, begin, show

SEEDS, QUICK_SEEDS = 10_000, 20
PLANTED_WITHIN = 300
"""Seeds within which a planted bug must be found."""

_SHOWN = 3
_SAY_EVERY_S = 15.0


@dataclass
class Tally:
    """What all runs together showed."""

    runs: int = 0
    checks: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    breaches: Counter[str] = field(default_factory=Counter)
    failing: list[Result] = field(default_factory=list)

    def add(self, result: Result) -> None:
        """Take one run."""
        self.runs += 1
        self.checks += result.checks
        self.faults += result.faults
        self.outcomes += result.outcomes
        if result.breach is not None:
            self.breaches[result.breach.invariant] += 1
            self.failing.append(result)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the seeds; the exit status is 1 when an invariant broke, or a planted bug was not found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="default %(default)s")
    parser.add_argument("--first", type=int, default=0, help="first seed, default %(default)s")
    parser.add_argument("--planted", action="store_true", help="plant known bugs instead")
    parser.add_argument("--quick", action="store_true", help=f"--seeds {QUICK_SEEDS}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the report there")
    given = parser.parse_args(argv)
    machine = begin("simulation")
    seeds = range(given.first, given.first + (QUICK_SEEDS if given.quick else given.seeds))
    figures, notes, broken = _planted() if given.planted else _clean(seeds)
    options = ["--planted"] if given.planted else ["--seeds", str(len(seeds))]
    options += ["--first", str(given.first)] if given.first else []
    command = f"python -m benchmarks.simulation {shlex.join(options)}"
    report = Report(
        benchmark="simulation", command=command, machine=machine, figures=figures, notes=notes
    )
    show(report, given.json)
    return 1 if broken else 0


def _clean(seeds: range) -> tuple[list[Figure], list[str], bool]:
    tally, began = Tally(), time.monotonic()
    said_at = began
    for seed in seeds:
        tally.add(simulate(plan(seed)))
        if time.monotonic() - said_at > _SAY_EVERY_S:
            said_at = time.monotonic()
            left_s = (said_at - began) / tally.runs * (len(seeds) - tally.runs)
            broken = len(tally.failing)
            print(
                f"{tally.runs} of {len(seeds)} seeds, {broken} broken, {left_s:.0f} s left",
                file=sys.stderr,
            )
    for failing in tally.failing[:_SHOWN]:
        print(account(shortest(failing)), file=sys.stderr)
    took_s = time.monotonic() - began
    notes = [
        f"{tally.runs} seeds from {seeds.start} in {took_s:.0f} s; "
        f"{tally.checks.total():,} checks, {tally.breaches.total()} broken.",
        f"What went wrong: {_counted(tally.faults)}.",
        f"What became of orders and ramps: {_counted(tally.outcomes)}.",
    ]
    notes += [f"Seed {result.plan.seed}: {result.breach}" for result in tally.failing[:20]]
    return [_invariant(name, tally) for name in sorted(tally.checks)], notes, bool(tally.failing)


def _invariant(name: str, tally: Tally) -> Figure:
    broken = float(tally.breaches[name])
    return Figure(
        name=f"seeds that broke: {name}",
        unit="seeds",
        value=broken,
        low=broken,
        high=broken,
        rounds=1,
        n=tally.checks[name],
        aim=Aim(AT_MOST, 0),
    )


def _planted() -> tuple[list[Figure], list[str], bool]:
    figures, notes, caught = [], [], 0
    for bug in BUGS:
        tried, result = found(bug, range(PLANTED_WITHIN))
        breach = result.breach if result is not None else None
        right = breach is not None and breach.invariant in bug.invariants
        caught += right
        print(f"{bug.name}: {tried} seeds, {breach}", file=sys.stderr)
        figures.append(_count(f"seeds until found: {bug.name}", "seeds", tried, None))
        if not right:
            notes.append(f"Not found as it should be: {bug.name}: {breach}")
    aim = Aim(AT_LEAST, len(BUGS))
    total = _count("planted bugs found by the invariant that they break", "bugs", caught, aim)
    return [total, *figures], notes, caught < len(BUGS)


def _count(name: str, unit: str, value: int, aim: Aim | None) -> Figure:
    exact = float(value)
    return Figure(name=name, unit=unit, value=exact, low=exact, high=exact, rounds=1, n=1, aim=aim)


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in counter.most_common())


if __name__ == "__main__":
    sys.exit(main())
