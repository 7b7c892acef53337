"""What answers to golden cases are worth, by hand-made answers."""

import math

import pytest

from services.mapper.quality.cases import GoldenCase
from services.mapper.quality.coverage import category
from services.mapper.quality.scoring import (
    Answer,
    Scored,
    confusions,
    figures,
    label_f1,
    percentile,
    score,
    wilson,
)
from trimtab.contracts.mapping import UNKNOWN, DecidedBy, FallbackReason

LABELS = {"A", "B", "C", UNKNOWN}


def case(*expected: str, by: DecidedBy | None = None, name: str = "d-1") -> GoldenCase:
    return GoldenCase(
        id=name,
        detector="d",
        output="x",
        expected=list(expected),
        decided_by=by,
        kind="label",
        note="n",
        part="tune",
    )


def answered(
    *labels: str,
    by: DecidedBy | None = "model",
    reason: FallbackReason | None = None,
    error: str = "",
) -> Answer:
    return Answer(labels, by, reason, 1.0, error)


def scored(wanted: GoldenCase, found: Answer) -> Scored:
    return score(wanted, found, LABELS)


@pytest.mark.parametrize(
    ("expected", "found", "f1"),
    [
        (["A"], ["A"], 1.0),
        (["A", "B"], ["B", "A"], 1.0),
        (["A", "B"], ["A"], 2 / 3),
        (["A"], ["A", "B", "C"], 0.5),
        (["A"], ["B"], 0.0),
        (["A"], [], 0.0),
    ],
)
def test_the_f1_of_a_case_is_of_its_set_of_labels(
    expected: list[str], found: list[str], f1: float
) -> None:
    assert label_f1(expected, found) == pytest.approx(f1)


def test_right_labels_by_the_wrong_hand_do_not_pass_where_the_case_says_whose() -> None:
    assert scored(case("A", by="rules"), answered("A", by="rules")).passed
    assert not scored(case("A", by="rules"), answered("A", by="model")).passed
    assert scored(case("A"), answered("A", by="model")).passed


@pytest.mark.parametrize(
    ("answer", "valid"),
    [
        (answered("A"), True),
        (answered("Z"), False),
        (answered(), False),
        (answered("A", reason=FallbackReason.INVALID_OUTPUT), False),
        (answered("A", reason=FallbackReason.LOW_CONFIDENCE), True),
        (answered(by=None, error="RemoteError"), False),
    ],
    ids=["a label", "no label of ours", "nothing", "broken output", "unsure", "an error"],
)
def test_an_answer_is_valid_when_it_came_with_labels_that_exist_and_the_models_output_fitted(
    answer: Answer, valid: bool
) -> None:
    assert scored(case("A"), answer).valid is valid


@pytest.mark.parametrize(
    ("expected", "reason", "fell"),
    [
        ("A", FallbackReason.LOW_CONFIDENCE, True),
        ("A", FallbackReason.TIMEOUT, True),
        ("A", None, False),
        ("A", FallbackReason.KILL_SWITCH, False),
        (UNKNOWN, FallbackReason.LOW_CONFIDENCE, False),
    ],
)
def test_to_abstain_where_nothing_should_be_known_is_no_fallback_and_neither_is_an_order(
    expected: str, reason: FallbackReason | None, fell: bool
) -> None:
    assert scored(case(expected), answered("A", by="rules", reason=reason)).fell_back is fell


def test_figures_tell_how_much_of_the_unknown_was_rightly_so_and_how_much_was_found() -> None:
    found = figures(
        [
            scored(case(UNKNOWN), answered(UNKNOWN, by="unknown")),
            scored(case("A"), answered(UNKNOWN, by="unknown")),
            scored(case(UNKNOWN), answered("A")),
            scored(case("A"), answered("A")),
        ]
    )

    assert (found.unknown_precision, found.unknown_recall) == (0.5, 0.5)
    assert (found.cases, found.f1, found.passed.value) == (4, 0.5, 0.5)


def test_without_an_unknown_there_is_no_share_of_it() -> None:
    found = figures([scored(case("A"), answered("A"))])

    assert math.isnan(found.unknown_precision)
    assert math.isnan(found.unknown_recall)


@pytest.mark.parametrize(
    ("good", "of", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (0, 20, 0.0, 0.1611), (20, 20, 0.8389, 1.0)],
)
def test_the_interval_is_wilsons(good: int, of: int, low: float, high: float) -> None:
    """81 of 263 is Newcombe's example (1998, Statistics in Medicine 17, table I)."""
    found = wilson(good, of)

    assert found.low == pytest.approx(low, abs=1e-4)
    assert found.high == pytest.approx(high, abs=1e-4)


@pytest.mark.parametrize(("share", "value"), [(0.95, 95.0), (0.5, 50.0), (1.0, 100.0), (0.0, 1.0)])
def test_a_percentile_is_a_value_that_was_measured(share: float, value: float) -> None:
    assert percentile([float(n) for n in range(100, 0, -1)], share) == value


def test_confusions_say_what_came_for_what_most_often_first() -> None:
    rows = [
        scored(case("A"), answered("B")),
        scored(case("A"), answered("B")),
        scored(case("B", "A"), answered("C")),
        scored(case("A", "B"), answered("B", "A")),
        scored(case("C"), answered(by=None, error="RemoteError")),
    ]

    assert confusions(rows) == [("A", "B", 2), ("A + B", "C", 1), ("C", "RemoteError", 1)]


@pytest.mark.parametrize(
    ("label", "of"), [("HARM.SPEECH.Hate", "HARM.SPEECH"), ("ADVICE.Legal", "ADVICE"), ("X", "X")]
)
def test_a_category_is_what_a_label_stands_in(label: str, of: str) -> None:
    assert category(label) == of
