"""The audit read again says which releases served, and which was taken away."""

from tests.unit.audit.recorded import Record
from trimtab.audit.timeline import Event, Kind, read
from trimtab.contracts.control import Switch
from trimtab.contracts.orders import (
    AbortCommand,
    Command,
    KillCommand,
    PromoteCommand,
    RollBackCommand,
    SetCommand,
    SetWeightCommand,
    StartCanaryCommand,
)

START = StartCanaryCommand(release="next", weight_bp=500)


def of(record: Record) -> list[Event]:
    return read(record.entries, record.state.stable)


def after(*commands: Command) -> Record:
    record = Record()
    for number, command in enumerate(commands):
        record.order(100.0 + number, command)
    return record


def test_a_canary_serves_from_its_start_to_its_end_beside_the_stable_release() -> None:
    start, weight, abort = of(after(START, SetWeightCommand(weight_bp=2500), AbortCommand()))

    assert (start.kind, start.before.holds("next"), start.after.holds("next")) == (
        Kind.CHANGE,
        False,
        True,
    )
    assert (start.after.weight_bp, weight.after.weight_bp) == (500, 2500)
    assert (abort.kind, abort.taken) == (Kind.TAKEN_BACK, "next")
    assert (abort.after.stable, abort.after.holds("next")) == ("base", False)


def test_a_promoted_release_that_is_rolled_back_is_the_one_taken() -> None:
    _, promote, back = of(after(START, PromoteCommand(), RollBackCommand()))

    assert (promote.before.stable, promote.after.stable) == ("base", "next")
    assert (back.taken, back.after.stable) == ("next", "base")


def test_a_promotion_by_policy_names_no_release_and_is_understood_all_the_same() -> None:
    record = after(START)
    record.promoted(200.0)
    record.order(300.0, RollBackCommand())
    _, promoted, back = of(record)

    assert promoted.after.stable == "next"
    assert (back.taken, back.after.stable) == ("next", "base")


def test_a_canary_that_is_ramped_a_second_time_is_known_though_its_name_does_not_change() -> None:
    *_, again = of(after(START, AbortCommand(), START))

    assert not again.before.holds("next")
    assert again.after.holds("next")


def test_a_verdict_takes_the_canary() -> None:
    record = after(START)
    record.stepped(150.0, 5000)
    record.condemned(200.0)
    _, step, verdict = of(record)

    assert step.after.weight_bp == 5000
    assert (verdict.kind, verdict.taken, verdict.automatic) == (Kind.TAKEN_BACK, "next", True)


def test_a_banned_release_is_taken_and_another_switch_takes_none() -> None:
    banned, switched = of(
        after(
            KillCommand(switch=Switch.RELEASE, value="next"),
            KillCommand(switch=Switch.RERANKER, value="off"),
        )
    )

    assert (banned.kind, banned.taken) == (Kind.SWITCHED, "next")
    assert (switched.kind, switched.taken) == (Kind.SWITCHED, "")


def test_what_was_refused_or_tried_dry_changes_nothing() -> None:
    record = Record()
    record.order(100.0, START, outcome="refused")
    record.order(101.0, RollBackCommand(), outcome="dry_run")

    assert [event.kind for event in of(record)] == [Kind.OTHER, Kind.OTHER]
    assert not any(event.after.holds("next") for event in of(record))


def test_a_reason_that_looks_like_a_change_is_none() -> None:
    record = Record()
    record.order(100.0, START, reason='stable: "base" -> "next"')
    record.order(101.0, SetCommand(name="retriever.nprobe", value=4))

    assert [event.after.stable for event in of(record)] == ["base", "base"]
