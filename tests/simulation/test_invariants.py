"""The control plane keeps its invariants whatever goes wrong; `python -m benchmarks.simulation` runs 10,000 seeds."""

import pytest

from benchmarks.fleetsim.incidents import Trouble, plan
from benchmarks.fleetsim.run import account, shortest, simulate

SEEDS = 80

ALWAYS_CHECKED = {
    "kill always wins",
    "no lower revision",
    "no promotion without evidence",
    "weights sum to 100 %",
    "a canary is a lease",
    "a fenced write is refused",
    "a fenced write changes nothing",
    "all obey the same in the end",
    "a ramp comes to an end",
}


def test_nothing_that_goes_wrong_breaks_an_invariant() -> None:
    checked: set[str] = set()
    faults: set[str] = set()
    for seed in range(1000, 1000 + SEEDS):
        result = simulate(plan(seed))
        assert result.breach is None, account(shortest(result))
        checked |= set(result.checks)
        faults |= set(result.faults)

    assert checked >= ALWAYS_CHECKED
    assert {trouble.value for trouble in Trouble} <= faults
    assert {"messages lost", "messages doubled", "messages reordered", "answers lost"} <= faults


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(493, id="an answer shortened the kill of an operator"),
        pytest.param(2986, id="a first attempt that landed late was taken for the second"),
    ],
)
def test_what_was_found_once_stays_away(seed: int) -> None:
    result = simulate(plan(seed))

    assert result.breach is None, account(result)


def test_a_seed_gives_the_same_run_every_time() -> None:
    first, again = simulate(plan(7)), simulate(plan(7))

    assert first.log == again.log
    assert first.checks == again.checks
    assert simulate(plan(8)).log != first.log


def test_good_canaries_are_promoted_and_bad_ones_rolled_back_by_the_simulated_controllers() -> None:
    outcomes = sum(
        (simulate(plan(seed)).outcomes for seed in range(40)), start=simulate(plan(40)).outcomes
    )

    assert outcomes["canaries promoted by a controller"] > 0
    assert outcomes["canaries rolled back by a controller"] > 0
