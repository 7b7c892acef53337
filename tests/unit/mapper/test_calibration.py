import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mapper.model.calibration import (
    IDENTITY,
    Kind,
    Line,
    Platt,
    Temperature,
    brier,
    calibration_error,
    fit_isotonic,
    fit_kind,
    fit_platt,
    fit_temperature,
    raw_confidence,
)

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
        Line(raw, calibrated)


def test_the_error_is_the_gap_between_confidence_and_rightness_weighted_by_answers() -> None:
    confidence = np.array([0.95, 0.95, 0.55, 0.55])
    right = np.array([True, True, True, False])

    assert calibration_error(confidence, right) == pytest.approx(0.5 * 0.05 + 0.5 * 0.05)
    assert calibration_error(np.array([1.0]), np.array([False])) == 1.0


def test_the_distance_is_the_mean_square_between_confidence_and_rightness() -> None:
    assert brier(np.array([1.0, 0.5]), np.array([True, False])) == pytest.approx(0.125)


def _logits(count: int, sharpness: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits of five labels whose softmax at ``1 / sharpness`` is exactly how often each is right."""
    honest = 2 * RNG.standard_normal((count, 5)).astype(np.float32)
    chances = np.exp(honest) / np.exp(honest).sum(axis=1, keepdims=True)
    drawn = (RNG.uniform(size=(count, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    return honest * np.float32(sharpness), np.minimum(drawn, 4)


def test_the_temperature_that_spoilt_the_logits_is_found_again() -> None:
    logits, targets = _logits(20_000, 2.5)

    assert fit_temperature(logits, targets).value == pytest.approx(2.5, rel=0.05)


def test_the_sigmoid_that_spoilt_the_confidence_is_found_again() -> None:
    odds = RNG.normal(size=40_000)
    right = RNG.uniform(size=40_000) < 1 / (1 + np.exp(-(0.5 * odds - 1.0)))

    fitted = fit_platt(1 / (1 + np.exp(-odds)), right)

    assert fitted.slope == pytest.approx(0.5, abs=0.05)
    assert fitted.intercept == pytest.approx(-1.0, abs=0.05)


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_brings_overconfidence_down_on_answers_that_it_never_saw(kind: Kind) -> None:
    logits, targets = _logits(8000, 3.0)
    fitted = fit_kind(kind, logits[:4000], targets[:4000])

    held, right = logits[4000:], logits[4000:].argmax(axis=1) == targets[4000:]

    assert calibration_error(raw_confidence(held), right) > 0.1
    assert calibration_error(fitted.confidence(held), right) < 0.03


@pytest.mark.parametrize("kind", list(Kind))
def test_one_right_answer_alone_can_be_fitted(kind: Kind) -> None:
    fitted = fit_kind(kind, np.array([[3.0, 0.0]], np.float32), np.array([0]))

    assert 0 <= fitted.confidence(np.array([[3.0, 0.0]], np.float32))[0] <= 1


def test_a_temperature_of_one_changes_nothing() -> None:
    logits, _ = _logits(10, 1.0)

    assert np.array_equal(IDENTITY.confidence(logits), raw_confidence(logits))
    assert np.allclose(Platt(1.0, 0.0).confidence(logits), raw_confidence(logits), atol=1e-6)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_temperature_that_is_not_above_0_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="temperature"):
        Temperature(value)


@pytest.mark.parametrize(
    ("slope", "intercept"), [(-0.1, 0.0), (float("nan"), 0.0), (1.0, float("inf"))]
)
def test_a_sigmoid_that_falls_or_is_no_number_is_refused(slope: float, intercept: float) -> None:
    with pytest.raises(ValueError, match="sigmoid"):
        Platt(slope, intercept)
