"""Who is let in: bounded, never while draining, never too late."""

import pytest

from trimtab.bus.admission import Admission
from trimtab.contracts.errors import DeadlineExceeded, Draining, Overloaded


def test_the_request_above_the_limit_is_refused_and_a_freed_place_is_taken_again() -> None:
    admission = Admission("encoder", limit=2)
    admission.enter()
    admission.enter()

    with pytest.raises(Overloaded) as refusal:
        admission.enter()
    admission.leave()
    admission.enter()

    assert refusal.value.limit == 2
    assert admission.in_flight == 2


def test_a_draining_worker_lets_nobody_in() -> None:
    admission = Admission("encoder", limit=2, draining=True)

    with pytest.raises(Draining):
        admission.enter()


@pytest.mark.parametrize(
    ("expected_ms", "remaining_ms"),
    [
        pytest.param(0.0, -1.0, id="passed"),
        pytest.param(0.0, 0.0, id="passing"),
        pytest.param(10.0, 9.0, id="less than an answer takes"),
    ],
)
def test_work_that_nobody_would_wait_for_is_refused(
    expected_ms: float, remaining_ms: float
) -> None:
    admission = Admission("encoder", limit=1, expected_ms={"encode": expected_ms})

    with pytest.raises(DeadlineExceeded):
        admission.check_deadline("encode", remaining_ms)


def test_one_slow_spell_cannot_refuse_short_deadlines_for_ever() -> None:
    admission = Admission("encoder", limit=1)
    admission.served("encode", 1000.0)
    refusals = 0

    for _ in range(100):
        try:
            admission.check_deadline("encode", 50.0)
        except DeadlineExceeded:
            refusals += 1

    assert 0 < refusals < 100


def test_the_expected_time_follows_what_was_served() -> None:
    admission = Admission("encoder", limit=1)

    for _ in range(200):
        admission.served("encode", 8.0)

    assert admission.expected_ms["encode"] == pytest.approx(8.0)


def test_a_slow_verb_never_refuses_another() -> None:
    admission = Admission("gateway", limit=1)
    admission.served("documents", 20_000.0)

    admission.check_deadline("search", 100.0)

    with pytest.raises(DeadlineExceeded):
        admission.check_deadline("documents", 100.0)
