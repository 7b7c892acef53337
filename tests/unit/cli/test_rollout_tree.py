"""The releases as status draws them: who serves how much, which step, on what evidence."""

from collections.abc import Sequence

import msgspec
import pytest
from rich.console import Console

from trimtab.cli.rollout import releases, span
from trimtab.contracts.control import Phase
from trimtab.contracts.samples import (
    GuardrailStatus,
    ReleaseStatus,
    RolloutStatus,
    StatusReply,
)

COMPONENTS = {"encode": "minilm-int8@1", "map": "safety-head@1"}
STABLE = ReleaseStatus(
    name="base", role="stable", hash="aaaa", weight_bp=9500, components=COMPONENTS
)
CANARY = ReleaseStatus(
    name="next", role="canary", hash="bbbb", weight_bp=500, components=COMPONENTS
)
PREVIOUS = ReleaseStatus(
    name="old", role="previous", hash="cccc", weight_bp=0, components=COMPONENTS
)
ERRORS = GuardrailStatus(
    name="error rate",
    severity="critical",
    outcome="inconclusive",
    reason="error rate: canary 1/120 = 0.83%, control no requests, 120 of 500 requests",
    evidence=0.62,
    rejects_at=300.0,
)
RAMP = RolloutStatus(
    release="next",
    policy="retriever-v0",
    phase=Phase.RUNNING,
    weight_bp=500,
    step=1,
    steps=4,
    on_step_s=720.0,
    hold_s=7200.0,
    cause="a better [index]",
    verdict="inconclusive",
    reason="wait",
    guardrails=[ERRORS],
)


def drawn(found: Sequence[ReleaseStatus], ramp: RolloutStatus | None = None) -> str:
    status = StatusReply(
        at=1.0, workers=[], revision=3, release="base", releases=list(found), rollout=ramp
    )
    console = Console(width=240, record=True, file=None, force_terminal=False)
    with console.capture() as captured:
        console.print(releases(status))
    return captured.get()


def depth(text: str, words: str) -> int:
    (line,) = [line for line in text.splitlines() if words in line]
    return line.index(words) // 4


def test_every_release_stands_with_its_role_weight_hash_and_components() -> None:
    text = drawn([STABLE, CANARY, PREVIOUS])

    assert "base  stable  95 %  aaaa" in text
    assert "next  canary  5 %  bbbb" in text
    assert "old  previous  cccc" in text
    assert text.count("encode minilm-int8@1  map safety-head@1") == 3


def test_below_the_canary_stand_phase_step_policy_cause_and_evidence() -> None:
    text = drawn([STABLE, CANARY], RAMP)

    assert "running  step 1/4  12 m of 2 h  policy retriever-v0" in text
    assert "because a better [index]" in text
    assert "verdict inconclusive" in text
    assert f"inconclusive  {ERRORS.reason}  (critical, evidence 0.62 of 300)" in text
    assert depth(text, "next  canary") < depth(text, "running  step") < depth(text, "verdict")


def test_a_step_that_the_fleet_has_not_reached_yet_says_so() -> None:
    assert "waiting for the fleet" in drawn(
        [STABLE, CANARY], msgspec.structs.replace(RAMP, on_step_s=0.0)
    )


def test_a_ramp_by_hand_has_no_steps_and_no_verdict() -> None:
    by_hand = msgspec.structs.replace(
        RAMP, policy="", step=0, steps=0, verdict="", guardrails=[], cause=""
    )

    text = drawn([STABLE, CANARY], by_hand)

    assert "weight set by hand" in text
    assert "step" not in text
    assert "verdict" not in text


@pytest.mark.parametrize("phase", [Phase.PROMOTED, Phase.ROLLED_BACK, Phase.ABORTED])
def test_an_ended_ramp_keeps_its_end_and_its_cause_in_sight(phase: Phase) -> None:
    ended = msgspec.structs.replace(RAMP, phase=phase, weight_bp=0, verdict="fail")

    text = drawn([STABLE], ended)

    assert "last ramp: next" in text
    assert phase.value.replace("_", " ") in text
    assert "verdict fail" in text


def test_a_verdict_without_guardrails_says_its_own_reason() -> None:
    silent = msgspec.structs.replace(
        RAMP, verdict="error", reason="no samples for 12 s", guardrails=[]
    )

    assert "no samples for 12 s" in drawn([STABLE, CANARY], silent)


def test_nothing_ramped_yet_is_a_tree_of_one_release() -> None:
    text = drawn([STABLE])

    assert "stable" in text
    assert "ramp" not in text


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0 s"), (59, "59 s"), (60, "1 m"), (7200, "2 h"), (172_800, "2 d")]
)
def test_times_stand_in_their_largest_unit(seconds: float, shown: str) -> None:
    assert span(seconds) == shown
