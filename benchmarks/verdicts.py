"""Healthy canaries aborted, bad ones found: the judge's test beside the rules that people use instead.

Simulated requests (independent, constant rates: real bursts raise every rule's false alarms), the
product's own count test, looked at every second. The peers are the runbook's rule (error rate at most
baseline + 0.2 %, each minute over five minutes), a fixed threshold (over 1 % in each of four
five-minute windows), and a two-proportion z test looked at each minute.

Usage: ``python -m benchmarks.verdicts [--runs N] [--json]``
"""

import argparse
import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from services.controller.counttest import Counts, CountTest

MINUTES = 120
SHARE = 0.05
BASE_RATE = 0.005
ALPHA = 0.05
Series = list[Counts]


@dataclass(frozen=True)
class Row:
    """One rule in one situation."""

    rule: str
    rps: int
    canary_rate: float
    runs: int
    aborted: float
    low: float
    high: float
    median_s: float | None


def simulate(draw: random.Random, rps: int, canary_rate: float, step_s: int) -> Series:
    """Return the counts of every ``step_s`` seconds: canary and equally large control."""
    mean = rps * SHARE * step_s
    return [_interval(draw, mean, canary_rate) for _ in range(MINUTES * 60 // step_s)]


def _interval(draw: random.Random, mean: float, canary_rate: float) -> Counts:
    canary, control = _poisson(draw, mean), _poisson(draw, mean)
    return Counts(
        canary,
        _binomial(draw, canary, canary_rate),
        control,
        _binomial(draw, control, BASE_RATE),
    )


def _poisson(draw: random.Random, mean: float) -> int:
    if mean > 50:
        return max(0, round(draw.gauss(mean, math.sqrt(mean))))
    limit, product, count = math.exp(-mean), draw.random(), 0
    while product > limit:
        product *= draw.random()
        count += 1
    return count


def _binomial(draw: random.Random, n: int, p: float) -> int:
    return sum(draw.random() < p for _ in range(n))


def anytime(series: Series, step_s: int) -> float | None:
    """The product's test, ratio over 1.2, looked at with every interval."""
    test = CountTest(1.2)
    for index, counts in enumerate(series, 1):
        test = test.after(counts)
        if test.rejects(ALPHA):
            return index * step_s
    return None


def runbook(series: Series, step_s: int) -> float | None:
    """Error rate over baseline + 0.2 % in the last five minutes, looked at each minute."""
    return _windows(
        series, step_s, lambda c: _rate(c, canary=True) > _rate(c, canary=False) + 0.002
    )


def z_test(series: Series, step_s: int) -> float | None:
    """Two-proportion z test, p < 0.05, on all data so far, looked at each minute."""
    total = Counts(0, 0, 0, 0)
    per_minute = 60 // step_s
    for index, counts in enumerate(series, 1):
        total += counts
        if index % per_minute == 0 and _z(total) > 1.645:
            return index * step_s
    return None


def fixed(series: Series, step_s: int) -> float | None:
    """Error rate over 1 % in each of four five-minute windows in all."""
    per_window, failures = 300 // step_s, 0
    for start in range(0, len(series) - per_window + 1, per_window):
        window = sum(series[start : start + per_window], Counts(0, 0, 0, 0))
        failures += _rate(window, canary=True) > 0.01
        if failures == 4:
            return (start + per_window) * step_s
    return None


def _windows(series: Series, step_s: int, bad: Callable[[Counts], bool]) -> float | None:
    per_minute, per_window = 60 // step_s, 300 // step_s
    for end in range(per_window, len(series) + 1, per_minute):
        if bad(sum(series[end - per_window : end], Counts(0, 0, 0, 0))):
            return end * step_s
    return None


def _rate(counts: Counts, *, canary: bool) -> float:
    bad, n = (
        (counts.canary_bad, counts.canary_requests)
        if canary
        else (counts.baseline_bad, counts.baseline_requests)
    )
    return bad / n if n else 0.0


def _z(counts: Counts) -> float:
    n, m = counts.canary_requests, counts.baseline_requests
    pooled = (counts.canary_bad + counts.baseline_bad) / (n + m) if n + m else 0.0
    if not n or not m or not 0 < pooled < 1:
        return 0.0
    spread = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    return (_rate(counts, canary=True) - _rate(counts, canary=False)) / spread


RULES = {
    "anytime-valid count test, ratio > 1.2": anytime,
    "runbook 5: baseline + 0.2 %, each minute": runbook,
    "fixed: > 1 % in four windows": fixed,
    "z test p < .05, each minute": z_test,
}
CASES = [(2, BASE_RATE), (20, BASE_RATE), (200, BASE_RATE), (20, 0.01), (20, 0.025), (20, 0.2)]
"""Requests a second of the whole, and the canary's rate of bad events; the control's is 0.5 %."""


def measure(runs: int, seed: int) -> list[Row]:
    """Return every rule in every case."""
    rows = []
    for rps, canary_rate in CASES:
        step_s = 1 if rps <= 20 else 5
        found: dict[str, list[float]] = {rule: [] for rule in RULES}
        for run in range(runs):
            series = simulate(
                random.Random(f"{seed}/{rps}/{canary_rate}/{run}"), rps, canary_rate, step_s
            )
            for rule, judge in RULES.items():
                at = judge(series, step_s)
                if at is not None:
                    found[rule].append(at)
        rows += [_row(rule, rps, canary_rate, runs, times) for rule, times in found.items()]
    return rows


def _row(rule: str, rps: int, canary_rate: float, runs: int, times: list[float]) -> Row:
    share = len(times) / runs
    spread = 1.96 * math.sqrt(max(share * (1 - share), 1 / runs) / runs)
    median = sorted(times)[len(times) // 2] if times else None
    return Row(
        rule, rps, canary_rate, runs, share, max(0, share - spread), min(1, share + spread), median
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=20261120)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = measure(options.runs, options.seed)
    if options.json:
        print(json.dumps([row.__dict__ for row in rows]))
        return
    print(f"5 % canary, control 0.5 % bad, {MINUTES} min, {options.runs} runs, seed {options.seed}")
    print("| rule | requests/s | canary bad | aborted [95 %] | median time |")
    print("|---|---|---|---|---|")
    for row in rows:
        at = "-" if row.median_s is None else f"{row.median_s:g} s"
        print(
            f"| {row.rule} | {row.rps} | {row.canary_rate:.1%} | {row.aborted:.1%} "
            f"[{row.low:.1%}, {row.high:.1%}] | {at} |"
        )


if __name__ == "__main__":
    main()
