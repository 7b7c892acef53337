import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mapper.calibration import IDENTITY, Calibration, calibration_error, fit_isotonic

RNG = np.random.default_rng(0)


def test_confidence_that_is_always_too_high_is_brought_down_to_what_is_right() -> None:
    raw = RNG.uniform(0.5, 1.0, 4000)
    right = RNG.uniform(size=4000) < raw - 0.2

    fitted = fit_isotonic(raw[:2000], right[:2000])

    before = calibration_error(raw[2000:], right[2000:])
    after = calibration_error(fitted(raw[2000:]), right[2000:])
    assert before > 0.15
    assert after < 0.05


def test_confidence_that_is_right_stays() -> None:
    raw = RNG.uniform(0.0, 1.0, 20_000)
    right = RNG.uniform(size=20_000) < raw

    fitted = fit_isotonic(raw, right)

    assert np.abs(fitted(raw) - raw).max() < 0.06


@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60),
    st.lists(st.floats(0, 1), min_size=2, max_size=20),
)
def test_a_fitted_map_never_falls_and_stays_within_0_and_1(
    answers: list[tuple[float, bool]], asked: list[float]
) -> None:
    raw, right = np.array([a for a, _ in answers]), np.array([b for _, b in answers])

    calibrated = fit_isotonic(raw, right)(np.sort(np.array(asked)))

    assert (np.diff(calibrated) >= 0).all()
    assert calibrated.min() >= 0
    assert calibrated.max() <= 1


@pytest.mark.parametrize(
    ("raw", "calibrated"),
    [
        ((), ()),
        ((0.1,), (0.1, 0.2)),
        ((0.2, 0.1), (0.1, 0.2)),
        ((0.1, 0.2), (0.5, 0.4)),
        ((0.1, 1.2), (0.1, 0.2)),
        ((0.1, float("nan")), (0.1, 0.2)),
    ],
)
def test_corners_that_do_not_rise_within_0_and_1_are_refused(
    raw: tuple[float, ...], calibrated: tuple[float, ...]
) -> None:
    with pytest.raises(ValueError, match="corners"):
        Calibration(raw, calibrated)


def test_the_error_is_the_gap_between_confidence_and_rightness_weighted_by_answers() -> None:
    confidence = np.array([0.95, 0.95, 0.55, 0.55])
    right = np.array([True, True, True, False])

    assert calibration_error(confidence, right) == pytest.approx(0.5 * 0.05 + 0.5 * 0.05)
    assert calibration_error(np.array([1.0]), np.array([False])) == 1.0
    assert IDENTITY(np.array([0.3])).tolist() == [0.3]
