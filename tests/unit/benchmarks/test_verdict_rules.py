"""The rules that the judge is measured beside: what each takes back, when, and that ours is the product's own."""

import numpy as np
import pytest

from benchmarks.verdict_rules import RULES, Run, fixed, mann_whitney, ours, runbook, runbook_once
from benchmarks.verdicts import BASE_RATE, OURS, Case, Cell, Table, beside, drawn, figures
from services.controller.counttest import Counts, CountTest

SECONDS = 7200


def constant(canary_bad_each_s: int) -> Run:
    """20 requests a second of the canary, of which so many are bad; the others have none."""
    canary = np.full(SECONDS, 20)
    bad = np.full(SECONDS, canary_bad_each_s)
    none = np.zeros(SECONDS, dtype=np.int64)
    return Run(canary, bad, canary, none, canary * 19, none)


@pytest.mark.parametrize("name", RULES)
def test_no_rule_takes_a_canary_back_that_has_no_bad_request(name: str) -> None:
    assert RULES[name](constant(0)) is None


def test_each_rule_takes_a_broken_canary_back_at_its_first_look_that_may() -> None:
    broken = constant(10)

    assert runbook(broken) == 300.0
    assert runbook_once(broken) == 1800.0
    assert fixed(broken) == 1200.0
    assert mann_whitney(broken) == 1800.0
    assert ours(broken) == 1.0


def test_skipping_seconds_without_a_bad_request_changes_nothing() -> None:
    run = drawn(np.random.default_rng(3), Case(20, 0.1))
    test, at = CountTest(1.2), None
    for second in range(600):
        counted = (run.canary, run.canary_bad, run.stable, run.stable_bad)
        test = test.after(Counts(*(int(part[second]) for part in counted)))
        if at is None and test.rejects(0.01):
            at = second + 1.0

    assert at is not None
    assert ours(run) == at


def test_a_drawn_run_has_the_shares_and_rates_of_its_case() -> None:
    run = drawn(np.random.default_rng(1), Case(200, 0.2))

    assert run.canary.sum() / SECONDS == pytest.approx(10, rel=0.02)
    assert run.stable.sum() / SECONDS == pytest.approx(190, rel=0.02)
    assert run.canary_bad.sum() / run.canary.sum() == pytest.approx(0.2, rel=0.05)
    assert run.stable_bad.sum() / run.stable.sum() == pytest.approx(BASE_RATE, rel=0.05)
    assert bool((run.control <= run.stable).all())


def test_shares_carry_their_interval_and_ours_its_aim() -> None:
    case = Case(20, BASE_RATE)
    table: Table = {case: {rule: Cell(1000, [60.0] * 10) for rule in RULES}}
    (figure,) = figures(table)

    assert (figure.value, figure.met) == (1.0, True)
    assert figure.low == pytest.approx(0.54, abs=0.01)
    assert figure.high == pytest.approx(1.83, abs=0.01)
    assert OURS in beside(table)[0]
