"""Times, releases and what is not over: computed from the audit, and unknown where it says nothing."""

import pytest

from tests.unit.audit.recorded import Record
from trimtab.audit.incident import (
    REVIEW_WITHIN_S,
    Acknowledged,
    Answered,
    Incident,
    Observed,
    incident,
)
from trimtab.contracts.control import Switch
from trimtab.contracts.orders import (
    KillCommand,
    PromoteCommand,
    RollBackCommand,
    SetCommand,
    StartCanaryCommand,
)

START = StartCanaryCommand(release="next", weight_bp=500)


def bad_release() -> Record:
    """A release that is promoted at 1000, alarms at 2000, is taken back at 2030, quiet at 2600."""
    record = Record()
    record.order(900.0, START, actor="bea")
    record.order(1000.0, PromoteCommand(), actor="bea")
    record.fired(2000.0)
    record.order(2030.0, RollBackCommand(), actor="ana")
    record.cleared(2600.0)
    return record


def of(
    record: Record,
    *acknowledged: Acknowledged,
    start: float = 0.0,
    answered: tuple[Answered, ...] = (),
    release: str = "",
) -> Incident:
    observed = Observed("base", acknowledged, answered)
    return incident(record.entries, start, 10_000.0, observed, release)


def test_a_bad_release_is_told_from_its_first_bad_event_to_the_end_of_its_alarm() -> None:
    found = of(bad_release(), Acknowledged(4, 2031.0, 1.0), Acknowledged(4, 2032.0, 1.0))

    assert (found.faulting, found.replaced_by, found.share_bp) == ("next", "base", 10_000)
    times = found.times
    assert times.began == 2000.0 - 600.0, "an alarm fires once its condition held for ten minutes"
    assert (times.detected, times.acted, times.acknowledged) == (2000.0, 2030.0, 2032.0)
    assert (times.cleared, times.recovered) == (2600.0, 2600.0)
    assert found.review_due == 2030.0 + REVIEW_WITHIN_S
    assert found.target_s == 900.0, "it served everything"


def test_how_the_release_came_in_is_found_before_the_window() -> None:
    found = of(bad_release(), start=1500.0)

    assert found.brought_in is not None
    assert (found.brought_in.entry.at, found.brought_in.entry.actor) == (900.0, "bea")
    assert [event.entry.number for event in found.events] == [3, 4, 5]


def test_a_canary_condemned_by_its_policy_began_with_its_first_requests() -> None:
    record = Record()
    record.order(100.0, START)
    record.stepped(160.0, 2500)
    record.condemned(200.0)
    found = of(record)

    assert (found.faulting, found.replaced_by, found.share_bp) == ("next", "base", 2500)
    assert (found.times.began, found.times.detected, found.times.acted) == (100.0, 200.0, 200.0)
    assert found.target_s == 300.0


def test_an_alarm_that_lasts_means_that_nothing_has_recovered() -> None:
    record = bad_release()
    record.fired(3000.0, "MapperQueueLagHigh")
    found = of(record, Acknowledged(4, 2031.0, 1.0))

    assert found.open_alarms == ("trigger:MapperQueueLagHigh",)
    assert (found.times.cleared, found.times.recovered) == (None, None)


@pytest.mark.parametrize(
    "words",
    [
        pytest.param((), id="nobody was heard"),
        pytest.param((Acknowledged(4, 2031.0, 1.0), Acknowledged(0, 0.0, 1.0)), id="one was not"),
        pytest.param((Acknowledged(9, 4000.0, 1.0),), id="of a later change"),
        pytest.param((Acknowledged(4, 5000.0, 4999.0),), id="of one that started afterwards"),
    ],
)
def test_when_everybody_obeyed_is_not_guessed(words: tuple[Acknowledged, ...]) -> None:
    assert of(bad_release(), *words).times.acknowledged is None


def test_the_first_good_answer_is_of_what_replaced_it_and_after_the_rollback() -> None:
    answered = (
        Answered("early", 950.0, "base", 1),
        Answered("bad", 1500.0, "next", 2),
        Answered("late", 2030.5, "base", 3),
        Answered("good", 2031.0, "base", 4),
        Answered("next-good", 2032.0, "base", 4),
    )
    found = of(bad_release(), answered=answered)

    assert found.times.good == 2031.0, "one that obeyed an older revision proves nothing"
    assert [answer.request_id for answer in found.answers] == ["bad"]


def test_without_a_release_taken_back_the_first_switch_ended_it() -> None:
    record = Record()
    record.fired(1000.0)
    record.order(1010.0, KillCommand(switch=Switch.MAPPER_MODE, value="rules_only"))
    found = of(record)

    assert (found.faulting, found.replaced_by, found.target_s) == ("", "", None)
    assert (found.times.detected, found.times.acted) == (1000.0, 1010.0)


def test_of_two_releases_taken_back_the_newest_is_told_unless_one_is_named() -> None:
    record = Record()
    record.order(100.0, START)
    record.condemned(200.0)
    record.order(300.0, KillCommand(switch=Switch.RELEASE, value="other"))

    assert of(record).faulting == "other"
    named = of(record, release="next")
    assert (named.faulting, named.times.acted) == ("next", 200.0)


def test_dry_runs_and_an_earlier_documentation_are_no_part_of_it() -> None:
    record = Record()
    record.order(100.0, RollBackCommand(), outcome="dry_run")
    record.add(110.0, "ana", "incident:write", "written")
    nothing = of(record)
    record.order(120.0, SetCommand(name="retriever.nprobe", value=4))

    assert nothing.events == ()
    assert [event.entry.action for event in of(record).events] == ["set"]


def test_a_time_with_changes_only_has_no_end_and_no_review() -> None:
    record = Record()
    record.order(120.0, SetCommand(name="retriever.nprobe", value=4))
    found = of(record)

    assert found.review_due is None
    assert found.times.detected is found.times.began is found.times.recovered is None
