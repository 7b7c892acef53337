"""The simulation can fail: every planted bug is found, by the invariant that it breaks."""

import pytest

from benchmarks.fleetsim.incidents import plan
from benchmarks.fleetsim.planted import BUGS, Bug, found
from benchmarks.fleetsim.run import shortest, simulate


@pytest.mark.parametrize("bug", BUGS, ids=[bug.name.replace(" ", "-") for bug in BUGS])
def test_a_planted_bug_is_found(bug: Bug) -> None:
    tried, failing = found(bug, range(150))

    assert failing is not None, f"{tried} seeds saw nothing"
    assert failing.breach is not None
    assert failing.breach.invariant in bug.invariants, failing.breach


def test_a_failing_run_is_made_short_and_fails_the_same_way() -> None:
    with BUGS[0].plant():
        failing = next(r for seed in range(20) if (r := simulate(plan(seed))).breach is not None)
        short = shortest(failing)

    assert failing.breach is not None
    assert short.breach is not None
    assert short.breach.invariant == failing.breach.invariant
    assert len(short.plan.incidents) <= len(failing.plan.incidents)
