"""Crashed processes come back soon at first, then more and more slowly, never later than the cap."""

from trimtab.supervisor.backoff import LONGEST_S, STABLE_S, Backoff


def test_waits_double_up_to_the_cap() -> None:
    backoff, waits = Backoff(), []
    for _ in range(9):
        backoff = backoff.after(uptime_s=0.0)
        waits.append(backoff.wait_s)

    assert waits == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, LONGEST_S, LONGEST_S, LONGEST_S]


def test_a_stable_run_forgives_earlier_crashes() -> None:
    assert Backoff(crashes=7).after(uptime_s=STABLE_S).wait_s == 0.2


def test_nobody_waits_before_the_first_crash() -> None:
    assert Backoff().wait_s == 0.0


def test_a_thousand_crashes_do_not_overflow() -> None:
    assert Backoff(crashes=5_000).wait_s == LONGEST_S
