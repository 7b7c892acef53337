from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mapper.answer import ModelAnswer
from services.mapper.decide import ModelOutcome, Policy, asks_model, decide
from services.mapper.rules import CONFIDENCE, NOTHING, Rule, RuleAnswer
from tests.unit.mapper.shipped import taxonomy
from trimtab.contracts.mapping import UNKNOWN, FallbackReason, MappingMode

HATE, SPAM = "HARM.SPEECH.Hate", "INTEGRITY.Spam"
EXACT = RuleAnswer((HATE,), Rule.EXACT)
ALIAS = RuleAnswer((SPAM,), Rule.TAXONOMY)
DENIED = replace(NOTHING, denied=True)
HYBRID = Policy(MappingMode.HYBRID, 0.6, declared=True)
RULES_ONLY = replace(HYBRID, mode=MappingMode.RULES_ONLY)
UNDECLARED = replace(HYBRID, declared=False)


def says(label: str, confidence: float) -> ModelAnswer:
    return ModelAnswer((label,), {label: confidence}, confidence)


@pytest.mark.parametrize(
    ("rules", "outcome", "policy", "labels", "decided_by", "reason"),
    [
        pytest.param(EXACT, None, HYBRID, HATE, "rules", None, id="a written rule is certain"),
        pytest.param(NOTHING, says(HATE, 0.6), HYBRID, HATE, "model", None, id="sure enough"),
        pytest.param(ALIAS, says(HATE, 0.9), HYBRID, HATE, "model", None, id="model before alias"),
        pytest.param(ALIAS, says(HATE, 0.59), HYBRID, SPAM, "rules", "low_confidence", id="unsure, alias"),
        pytest.param(NOTHING, says(HATE, 0.59), HYBRID, UNKNOWN, "unknown", "low_confidence", id="unsure"),
        pytest.param(NOTHING, says(HATE, 0.5), UNDECLARED, UNKNOWN, "unknown", "unknown_detector", id="undeclared"),
        pytest.param(NOTHING, says(HATE, 0.9), UNDECLARED, HATE, "model", None, id="undeclared but sure"),
        pytest.param(NOTHING, says(UNKNOWN, 0.9), HYBRID, UNKNOWN, "unknown", None, id="surely nothing"),
        pytest.param(ALIAS, says(UNKNOWN, 0.9), HYBRID, SPAM, "rules", "low_confidence", id="alias knows more"),
        pytest.param(ALIAS, FallbackReason.TIMEOUT, HYBRID, SPAM, "rules", "timeout", id="timeout"),
        pytest.param(NOTHING, FallbackReason.MODEL_ERROR, HYBRID, UNKNOWN, "unknown", "model_error", id="error"),
        pytest.param(ALIAS, FallbackReason.INVALID_OUTPUT, HYBRID, SPAM, "rules", "invalid_output", id="invalid"),
        pytest.param(EXACT, None, RULES_ONLY, HATE, "rules", "kill_switch", id="switch, exact"),
        pytest.param(NOTHING, None, RULES_ONLY, UNKNOWN, "unknown", "kill_switch", id="switch, nothing"),
        pytest.param(DENIED, None, HYBRID, UNKNOWN, "unknown", None, id="denied"),
    ],
)  # fmt: skip
def test_who_decides_and_why(
    rules: RuleAnswer,
    outcome: ModelOutcome | None,
    policy: Policy,
    labels: str,
    decided_by: str,
    reason: str | None,
) -> None:
    found = decide([rules], {} if outcome is None else {0: outcome}, policy, taxonomy())

    assert (found.labels, found.decided_by, found.reason) == ((labels,), decided_by, reason)


def test_the_model_is_asked_about_what_no_written_rule_knows_and_never_in_rules_only() -> None:
    rules = [EXACT, NOTHING, ALIAS, DENIED]

    assert asks_model(rules, HYBRID) == [1, 2]
    assert asks_model(rules, RULES_ONLY) == []


def test_an_empty_output_is_unknown_without_confidence() -> None:
    found = decide([], {}, HYBRID, taxonomy())

    assert (found.labels, found.confidence, found.reason) == ((UNKNOWN,), 0.0, None)
    assert decide([], {}, RULES_ONLY, taxonomy()).reason is FallbackReason.KILL_SWITCH


def test_an_aggregate_has_the_labels_of_its_parts_best_first_and_the_least_confidence() -> None:
    found = decide([EXACT, NOTHING], {1: says(SPAM, 0.8)}, HYBRID, taxonomy())

    assert found.labels == (HATE, SPAM)
    assert found.scores == {HATE: 1.0, SPAM: 0.8}
    assert found.confidence == 0.8
    assert (found.decided_by, found.reason) == ("model", None)


def test_a_part_that_nobody_knew_leaves_the_others_labels_but_no_confidence() -> None:
    found = decide([EXACT, NOTHING], {1: says(SPAM, 0.3)}, HYBRID, taxonomy())

    assert (found.labels, found.confidence) == ((HATE,), 0.0)
    assert (found.decided_by, found.reason) == ("rules", FallbackReason.LOW_CONFIDENCE)


def test_a_denied_part_takes_nothing_from_the_others() -> None:
    found = decide([EXACT, DENIED], {}, HYBRID, taxonomy())

    assert (found.labels, found.confidence) == ((HATE,), 1.0)


def test_the_gravest_of_several_reasons_is_the_one() -> None:
    outcomes: dict[int, ModelOutcome] = {
        0: says(SPAM, 0.1),
        1: FallbackReason.INVALID_OUTPUT,
    }

    assert (
        decide([ALIAS, ALIAS], outcomes, HYBRID, taxonomy()).reason is FallbackReason.INVALID_OUTPUT
    )


labels = st.sampled_from(sorted(taxonomy().labels))
rule_answers = st.one_of(
    st.just(NOTHING),
    st.just(DENIED),
    st.builds(
        lambda label, rule: RuleAnswer((label,), rule),
        labels.filter(lambda label: label != UNKNOWN),
        st.sampled_from([rule for rule in Rule if CONFIDENCE[rule] > 0]),
    ),
)
outcomes = st.one_of(
    st.builds(says, labels, st.floats(0, 1)),
    st.sampled_from(
        [FallbackReason.MODEL_ERROR, FallbackReason.INVALID_OUTPUT, FallbackReason.TIMEOUT]
    ),
)


@given(
    st.lists(st.tuples(rule_answers, outcomes), max_size=5),
    st.sampled_from(list(MappingMode)),
    st.booleans(),
)
def test_every_decision_is_consistent(
    parts: list[tuple[RuleAnswer, ModelOutcome]], mode: MappingMode, declared: bool
) -> None:
    rules = [rule for rule, _ in parts]
    policy = Policy(mode, 0.6, declared)
    given_outcomes = {place: parts[place][1] for place in asks_model(rules, policy)}

    found = decide(rules, given_outcomes, policy, taxonomy())

    assert found.labels
    assert set(found.labels) <= set(taxonomy().labels)
    assert UNKNOWN not in found.labels or found.labels == (UNKNOWN,)
    assert set(found.scores) == set(found.labels)
    assert [found.scores[label] for label in found.labels] == sorted(
        found.scores.values(), reverse=True
    )
    assert 0.0 <= found.confidence <= max(found.scores.values())
    assert (found.decided_by == "unknown") == (found.labels == (UNKNOWN,))
    assert found.decided_by != "model" or found.reason is None
    assert (found.reason is FallbackReason.KILL_SWITCH) == (mode is MappingMode.RULES_ONLY)
