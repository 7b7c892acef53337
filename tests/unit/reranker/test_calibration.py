"""Calibration recovers the probabilities that made the labels, from any start and any scale."""

import numpy as np
import pytest
from numpy.typing import NDArray

from services.reranker.calibration import calibrate, calibration_error

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
