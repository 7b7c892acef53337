"""Moves of a rollout: no data never promotes, critical failures take back, ends are ends."""

import pytest

from services.controller.analysis import Finding, Outcome, Verdict
from services.controller.counttest import NOTHING
from services.controller.policy import Answer, Guardrail, Policy, Step
from services.controller.rollout import MOVES, Event, IllegalMove, advance, diagram
from trimtab.contracts.control import Canary, Phase


def guardrail(severity: str = "critical", *answers: Answer) -> Guardrail:
    return Guardrail(
        name="errors",
        endpoint="search",
        event="error",
        severity=severity,  # type: ignore[arg-type]
        answers=list(answers),
    )


POLICY = Policy(
    name="test",
    source="this test",
    endpoint="search",
    steps=[Step(weight=5, hold="30m"), Step(weight=100, hold="1h")],
    max_hold="2h",
    guardrails=[guardrail()],
)


def canary(phase: Phase = Phase.RUNNING, step: int = 0, since: float = 1000.0) -> Canary:
    return Canary(
        release="next",
        policy="test",
        weight_bp=POLICY.steps[step].weight_bp,
        phase=phase,
        step=step,
        step_since=since,
        salt="s",
    )


def verdict(outcome: Outcome, rail: Guardrail | None = None) -> Verdict:
    rail = rail or guardrail()
    return Verdict(outcome, "because", (Finding(rail, outcome, "because", 1.0, NOTHING),))


PASS, FAIL = verdict(Outcome.PASS), verdict(Outcome.FAIL)
WAIT, ERROR = verdict(Outcome.INCONCLUSIVE), verdict(Outcome.ERROR)
HOLD_OVER, MAX_HOLD_OVER = 1000.0 + 1800.0, 1000.0 + 1800.0 + 7200.1


def test_a_step_ends_when_it_passed_and_its_hold_is_over() -> None:
    early = advance(canary(), PASS, POLICY, answered=0, now=HOLD_OVER - 1)
    due = advance(canary(), PASS, POLICY, answered=0, now=HOLD_OVER)

    assert early.event is Event.KEEP_WATCHING
    assert early.canary == canary()
    assert due.event is Event.STEP_PASSED
    assert (due.canary.step, due.canary.weight_bp, due.canary.step_since) == (1, 10_000, 0.0)


def test_the_last_steps_pass_promotes() -> None:
    move = advance(canary(step=1), PASS, POLICY, answered=0, now=1000.0 + 3600.0)

    assert (move.event, move.canary.phase) == (Event.LAST_STEP_PASSED, Phase.PROMOTED)


@pytest.mark.parametrize("look", [WAIT, ERROR], ids=["inconclusive", "error"])
@pytest.mark.parametrize("phase", [Phase.RUNNING, Phase.HOLDING])
def test_no_data_never_promotes_and_is_taken_back_when_it_lasts(
    look: Verdict, phase: Phase
) -> None:
    waiting = advance(canary(phase), look, POLICY, answered=0, now=HOLD_OVER + 60)
    lasting = advance(canary(phase), look, POLICY, answered=0, now=MAX_HOLD_OVER)

    assert waiting.event not in (Event.STEP_PASSED, Event.LAST_STEP_PASSED)
    assert (lasting.event, lasting.canary.phase) == (Event.HELD_TOO_LONG, Phase.ROLLED_BACK)
    assert lasting.canary.weight_bp == 0


@pytest.mark.parametrize("phase", [Phase.RUNNING, Phase.HOLDING, Phase.PAUSED])
def test_a_critical_failure_takes_the_canary_back_from_every_phase(phase: Phase) -> None:
    move = advance(canary(phase), FAIL, POLICY, answered=0, now=1001.0)

    assert (move.canary.phase, move.canary.weight_bp) == (Phase.ROLLED_BACK, 0)
    assert "because" in move.canary.cause


def test_a_signal_holds_and_resumes_by_itself() -> None:
    signal = verdict(Outcome.FAIL, guardrail("signal"))

    held = advance(canary(), signal, POLICY, answered=0, now=1001.0)
    resumed = advance(held.canary, PASS, POLICY, answered=0, now=1002.0)

    assert held.canary.phase is Phase.HOLDING
    assert resumed.canary.phase is Phase.RUNNING


def test_answers_are_tried_in_order_before_the_severity_has_its_way() -> None:
    rail = guardrail(
        "critical", Answer(set={"retriever.nprobe": 4}), Answer(kill={"reranker": "off"})
    )
    failing = verdict(Outcome.FAIL, rail)

    moves = [
        advance(canary(), failing, POLICY, answered=answered, now=1001.0) for answered in range(3)
    ]

    assert [move.answer for move in moves] == [*rail.answers, None]
    assert moves[0].canary.step_since == 0.0
    assert moves[2].canary.phase is Phase.ROLLED_BACK


def test_a_person_who_paused_is_overruled_by_critical_failures_only() -> None:
    passed = advance(canary(Phase.PAUSED), PASS, POLICY, answered=0, now=MAX_HOLD_OVER)
    signal = advance(
        canary(Phase.PAUSED),
        verdict(Outcome.FAIL, guardrail("signal")),
        POLICY,
        answered=0,
        now=1.0,
    )

    assert passed.canary.phase is Phase.PAUSED
    assert signal.canary.phase is Phase.PAUSED


@pytest.mark.parametrize("phase", [Phase.PROMOTED, Phase.ROLLED_BACK, Phase.ABORTED])
@pytest.mark.parametrize("look", [PASS, FAIL, WAIT, ERROR], ids=lambda v: v.outcome.value)
def test_nothing_restarts_by_itself(phase: Phase, look: Verdict) -> None:
    with pytest.raises(IllegalMove):
        advance(canary(phase), look, POLICY, answered=0, now=MAX_HOLD_OVER)


def test_every_phase_is_in_the_table_and_every_move_in_the_diagram() -> None:
    assert set(MOVES) == set(Phase)
    drawn = diagram()
    for phase, moves in MOVES.items():
        for event, target in moves.items():
            if target is not phase:
                assert f"{phase.value} --> {target.value}: {event.value}" in drawn


def waiting(phase: Phase = Phase.RUNNING) -> Canary:
    return canary(phase, since=0.0)


def test_before_the_fleet_has_converged_nothing_passes_but_what_fails_has_failed() -> None:
    passed = advance(waiting(), PASS, POLICY, answered=0, now=5000.0, written_at=1000.0)
    failed = advance(waiting(), FAIL, POLICY, answered=0, now=1001.0, written_at=1000.0)

    assert (passed.event, passed.canary) == (Event.KEEP_WATCHING, waiting())
    assert (failed.event, failed.canary.weight_bp) == (Event.CRITICAL_FAILED, 0)


def test_a_fleet_that_never_converges_holds_the_canary_too_long() -> None:
    early = advance(waiting(), PASS, POLICY, answered=0, now=1000.0 + 7200.0, written_at=1000.0)
    late = advance(waiting(), PASS, POLICY, answered=0, now=1000.0 + 7200.1, written_at=1000.0)

    assert early.event is Event.KEEP_WATCHING
    assert (late.event, late.canary.phase) == (Event.HELD_TOO_LONG, Phase.ROLLED_BACK)
