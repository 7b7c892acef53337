"""What an evaluation on held-out queries means for a ramp: the runbook's own answers, hold, or nothing."""

from pathlib import Path

import pytest

from services.controller.analysis import Finding, Outcome, judge_recall
from services.controller.evaluations import Evaluations
from services.controller.evidence import Evidence
from services.controller.policy import Policy, parse_policy
from services.controller.rollout import Event, event_of
from tests.unit.control.documents import release
from trimtab.contracts.control import Canary, Phase
from trimtab.contracts.evaluation import Evaluation

SHIPPED = Path("deploy/policies/retriever-v0.yaml")
EARLY, HALF = 0, 2
"""Steps of the shipped ramp: 5 % and 50 %."""


def policy() -> Policy:
    return parse_policy(SHIPPED.read_bytes(), SHIPPED.name)


def evaluation(recall_at_5: float, name: str = "next", at: float = 100.0) -> Evaluation:
    return Evaluation(
        at=at,
        release=name,
        collection="docs",
        queries=500,
        recall_at_5=recall_at_5,
        before=0.6,
        release_hash=release(name).hash,
    )


def on(step: int) -> Canary:
    return Canary(
        release="next",
        policy="retriever-v0",
        weight_bp=500,
        phase=Phase.RUNNING,
        step=step,
        step_since=1.0,
        salt="s",
    )


def findings(step: int, found: Evaluation | None) -> list[Outcome]:
    rails = [rail for rail in policy().guardrails if rail.max_drop is not None]
    return [judge_recall(rail, policy().steps[step], found).outcome for rail in rails]


def test_half_of_the_requests_are_not_left_behind_without_an_evaluation() -> None:
    assert findings(EARLY, None) == [Outcome.PASS, Outcome.PASS]
    assert findings(HALF, None) == [Outcome.INCONCLUSIVE, Outcome.INCONCLUSIVE]
    assert findings(HALF, evaluation(0.595)) == [Outcome.PASS, Outcome.PASS]


@pytest.mark.parametrize(
    ("recall", "answered", "event", "nprobe"),
    [
        pytest.param(0.57, 0, Event.GUARDRAIL_ANSWERED, 12, id="three-points-more-lists"),
        pytest.param(0.57, 1, Event.SIGNAL_FAILED, None, id="three-points-still-hold"),
        pytest.param(0.53, 0, Event.SIGNAL_FAILED, None, id="seven-points-hold-at-once"),
    ],
)
def test_recall_that_fell_is_answered_as_the_runbook_says(
    recall: float, answered: int, event: Event, nprobe: int | None
) -> None:
    verdict = Evidence.none(policy()).verdict(
        policy(), HALF, silent_s=0.0, evaluation=evaluation(recall)
    )

    found, answer = event_of(on(HALF), verdict, policy(), answered, now=2.0, written_at=0.0)

    assert found is event
    assert (answer.set["retriever.nprobe"] if answer else None) == nprobe
    assert f"R@5 {recall:.2%} of 500 queries, 60.00% before" in verdict.reason


def test_an_evaluation_takes_no_share_of_the_false_alarms() -> None:
    shipped = policy()
    acting = [
        rail for rail in shipped.guardrails if rail.severity != "info" and rail.max_drop is None
    ]

    assert shipped.alpha_each == pytest.approx(shipped.alpha / (2 * len(acting) * 4))


def test_the_newest_evaluation_of_a_release_speaks_for_it_until_it_is_too_old() -> None:
    heard = Evaluations()
    for each in (evaluation(0.5), evaluation(0.6, at=200.0), evaluation(0.4, at=150.0)):
        heard.hear(each)
    heard.hear(evaluation(0.3, "other", at=300.0))

    newest = heard.of([release("next")], now=201.0)
    assert newest is not None
    assert newest.recall_at_5 == 0.6
    both = [release("next"), release("other")]
    assert heard.of(both, now=301.0) == evaluation(0.3, "other", at=300.0)
    assert heard.of([release("base")], now=301.0) is None
    assert heard.of([release("next")], now=200.0 + 36 * 3600) is None


def test_an_evaluation_speaks_for_no_other_release_that_got_the_name_of_a_deleted_one() -> None:
    heard = Evaluations()
    heard.hear(evaluation(0.5))

    assert heard.of([release("next", rerank=None)], now=101.0) is None
    assert heard.of([release("next")], now=101.0) == evaluation(0.5)


def test_the_reason_names_the_guardrail() -> None:
    rail = next(rail for rail in policy().guardrails if rail.max_drop is not None)

    found: Finding = judge_recall(rail, policy().steps[EARLY], None)

    assert found.reason == "R@5 within 5 points: not evaluated"
