import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mapper.model.held import HeldOut, Point, accuracy_at, bins, by_detector, curve

CONFIDENCE = np.array([0.95, 0.9, 0.85, 0.6, 0.55, 0.2])
RIGHT = np.array([True, True, False, True, False, False])


def held(points: list[Point]) -> HeldOut:
    return HeldOut(
        answers=6, top1=0.5, top3=0.6, errors={}, distances={}, before=[], after=[], curve=points
    )


def test_a_threshold_leaves_the_answers_that_are_at_least_as_sure() -> None:
    at = {point.threshold: point for point in curve(CONFIDENCE, RIGHT)}

    assert at[0.0].coverage == 1.0
    assert at[0.0].precision == 0.5
    assert at[0.6].coverage == pytest.approx(4 / 6, abs=1e-4)
    assert at[0.6].precision == 0.75
    assert at[0.6].recall == 0.5
    assert at[1.0].coverage == 0.0


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50))
def test_a_higher_threshold_never_answers_more(answers: list[tuple[float, bool]]) -> None:
    confidence, right = np.array([a for a, _ in answers]), np.array([b for _, b in answers])

    points = curve(confidence, right)

    assert len(points) == 101
    assert (np.diff([point.coverage for point in points]) <= 0).all()
    assert all(point.recall <= point.coverage for point in points)


def test_the_best_f1_is_the_greatest_of_the_curve() -> None:
    points = curve(CONFIDENCE, RIGHT)

    assert held(points).best_f1().f1 == max(point.f1 for point in points)


def test_precision_holds_from_the_threshold_on_and_not_at_one_lucky_place_below() -> None:
    points = [
        Point(0.0, 1.0, 0.5, 0.5),
        Point(0.2, 0.8, 0.96, 0.4),
        Point(0.4, 0.6, 0.9, 0.4),
        Point(0.6, 0.4, 0.97, 0.3),
        Point(0.8, 0.2, 1.0, 0.2),
        Point(1.0, 0.0, 1.0, 0.0),
    ]

    found = held(points).precise()

    assert found is not None
    assert found.threshold == 0.6
    assert held([Point(0.0, 1.0, 0.5, 0.5), Point(1.0, 0.0, 1.0, 0.0)]).precise() is None


def test_every_answer_stands_in_one_bin_of_its_confidence() -> None:
    found = bins(np.append(CONFIDENCE, 1.0), np.append(RIGHT, True))

    assert sum(each.answers for each in found) == 7
    assert found[9].answers == 3
    assert found[9].right == 1.0
    assert found[0].answers == 0


def test_the_surest_share_is_judged_alone() -> None:
    assert accuracy_at(CONFIDENCE, RIGHT, 1.0) == 0.5
    assert accuracy_at(CONFIDENCE, RIGHT, 2 / 6) == 1.0


def test_a_report_survives_the_file() -> None:
    told = held(curve(CONFIDENCE, RIGHT))

    assert msgspec.json.decode(msgspec.json.encode(told), type=HeldOut) == told


def test_each_detectors_answers_are_judged_alone() -> None:
    found = by_detector(["a", "a", "b", "a", "b", "b"], CONFIDENCE, RIGHT)

    assert {name: part.answers for name, part in found.items()} == {"a": 3, "b": 3}
    assert (found["a"].top1, found["b"].top1) == (1.0, 0.0)
    assert {point.precision for point in found["a"].curve} == {1.0}
    assert next(point.coverage for point in found["b"].curve if point.threshold == 0.6) == (
        pytest.approx(1 / 3, abs=1e-4)
    )


def test_examples_of_one_detector_need_no_table_of_detectors() -> None:
    assert by_detector(["text"] * len(RIGHT), CONFIDENCE, RIGHT) == {}
