"""Calibration recovers the probabilities that made the labels, from any start and any scale."""

import numpy as np
import pytest
from numpy.typing import NDArray

from services.reranker.calibration import Curve, calibrate, calibration_error, fit, leads

RNG = np.random.default_rng(4)
LOGITS = RNG.normal(0.0, 2.0, 20_000).astype(np.float32)


def labels(slope: float, offset: float) -> NDArray[np.bool_]:
    probability = 1.0 / (1.0 + np.exp(-(slope * LOGITS + offset)))
    drawn: NDArray[np.bool_] = np.random.default_rng(5).random(len(LOGITS)) < probability
    return drawn


@pytest.mark.parametrize(("slope", "offset"), [(1.0, 0.0), (0.5, -4.0), (3.0, 2.0)])
def test_the_curve_that_made_the_labels_is_found(slope: float, offset: float) -> None:
    found = calibrate(LOGITS, labels(slope, offset))

    assert found == pytest.approx((slope, offset), rel=0.1, abs=0.05)


@pytest.mark.parametrize("shift", [-500.0, 500.0])
def test_logits_far_from_zero_are_no_obstacle(shift: float) -> None:
    slope, offset = calibrate(LOGITS + np.float32(shift), labels(1.0, 0.0))

    assert slope == pytest.approx(1.0, rel=0.1)
    assert offset == pytest.approx(-shift, rel=0.1)


def test_labels_that_fall_with_the_logits_give_a_negative_slope() -> None:
    assert calibrate(-LOGITS, labels(1.0, 0.0))[0] < 0.0


def test_perfectly_separated_labels_end_with_finite_numbers() -> None:
    slope, offset = calibrate(LOGITS, LOGITS > 0.0)

    assert slope > 1.0
    assert np.isfinite([slope, offset]).all()


def test_logits_that_say_nothing_leave_the_share_of_the_labels() -> None:
    slope, offset = calibrate(np.zeros(100, dtype=np.float32), np.arange(100) < 25)

    assert slope == pytest.approx(0.0, abs=1e-6)
    assert 1.0 / (1.0 + np.exp(-offset)) == pytest.approx(0.25, abs=1e-3)


def test_scores_that_say_how_often_they_are_right_have_almost_no_error() -> None:
    scores = (1.0 / (1.0 + np.exp(-LOGITS))).astype(np.float32)

    assert calibration_error(scores, labels(1.0, 0.0)) < 0.02


def test_the_error_is_how_far_scores_are_from_what_is_right_on_average() -> None:
    scores = np.array([0.9, 0.9, 0.9, 0.9, 0.1, 0.1], dtype=np.float32)
    right = np.array([True, True, False, False, False, False])

    # 0.9 said and 0.5 true of four, 0.1 said and 0 true of two.
    assert calibration_error(scores, right) == pytest.approx((4 * 0.4 + 2 * 0.1) / 6)


def test_sure_scores_that_are_wrong_have_an_error_of_one() -> None:
    sure = np.array([0.0, 1.0, 1.0], dtype=np.float32)

    assert calibration_error(sure, sure < 0.5) == pytest.approx(1.0)
    assert calibration_error(sure, sure > 0.5) == 0.0


def test_an_error_of_no_scores_is_refused() -> None:
    with pytest.raises(ValueError, match="needs scores"):
        calibration_error(np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.bool_))


def test_a_lead_is_the_log_odds_of_being_the_one_that_is_right() -> None:
    logits = np.log(np.array([6.0, 3.0, 1.0]))

    found = leads(logits, none=-30.0)

    assert found == pytest.approx(np.log(np.array([6 / 4, 3 / 7, 1 / 9])), abs=1e-6)


def test_leads_do_not_change_when_a_whole_list_is_shifted() -> None:
    logits = RNG.normal(0.0, 2.0, (5, 20))

    assert leads(logits + 7.0, none=-40.0) == pytest.approx(leads(logits, none=-40.0), abs=1e-6)


def test_a_single_candidate_is_compared_with_there_being_no_answer() -> None:
    assert leads(np.array([[1.5]]), none=0.5) == pytest.approx(np.array([[1.0]]))


def test_a_candidate_that_is_out_has_no_chance_and_takes_none_from_the_others() -> None:
    curve = Curve(slope=0.8, offset=0.1, none=-3.0)
    with_it = curve.relevance(np.array([2.0, -np.inf, 1.0]))

    assert with_it[1] == 0.0
    assert with_it[[0, 2]] == pytest.approx(curve.relevance(np.array([2.0, 1.0])))
    assert curve.relevance(np.full(3, -np.inf)).tolist() == [0.0, 0.0, 0.0]


def test_relevance_keeps_the_order_of_the_logits_and_stays_within_its_bounds() -> None:
    curve = Curve(slope=0.7, offset=-0.5, none=-2.0)
    logits = np.sort(np.random.default_rng(8).normal(0.0, 6.0, (50, 30)))

    found = curve.relevance(logits)

    assert (np.diff(found, axis=1) >= 0.0).all()
    assert found.min() >= 0.0
    assert found.max() <= 1.0


def test_the_fitted_curve_says_how_often_the_first_is_right_also_where_some_lists_have_no_answer() -> (
    None
):
    """Lists whose level means nothing, half of them without an answer: what a search gets."""
    rng = np.random.default_rng(9)

    def lists(count: int) -> tuple[np.ndarray, np.ndarray]:
        logits = rng.normal(0.0, 1.5, (count, 12))
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        drawn = (shares.cumsum(axis=1) < rng.random((count, 1))).sum(axis=1)
        right = np.zeros_like(logits, dtype=np.bool_)
        right[np.arange(count), np.minimum(drawn, 11)] = rng.random(count) < 0.5
        return logits + rng.normal(0.0, 3.0, (count, 1)), right

    logits, right = lists(4000)
    curve = fit(logits, right, np.ones_like(right))

    asked, answers = lists(4000)
    scores = curve.relevance(asked)
    rows = np.arange(len(asked)), asked.argmax(axis=1)
    assert calibration_error(scores[rows], answers[rows]) < 0.05
    assert calibration_error(scores.ravel(), answers.ravel()) < 0.02
