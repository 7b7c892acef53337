"""Confidence that means something: fitted maps from logits to how often the best label is right. Pure.

Three kinds, after Guo et al. (ICML 2017): a temperature; Platt's sigmoid over the log-odds of the best
label's probability; isotonic regression (Zadrozny and Elkan, KDD 2002) with equal neighbours joined.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from services.mapper.model.heads import log_softmax
from services.mapper.model.network import Array

Floats = NDArray[np.float64]
Rights = NDArray[np.bool_]

_SMALLEST = 1e-6
"""Probabilities are kept this far from 0 and 1 before their log-odds are taken."""


class Kind(StrEnum):
    """How a calibration was fitted."""

    TEMPERATURE = "temperature"
    PLATT = "platt"
    ISOTONIC = "isotonic"


@dataclass(frozen=True, slots=True)
class Temperature:
    """Logits are divided by it before the softmax."""

    value: float
    """Above 1 it makes every answer less sure."""

    def __post_init__(self) -> None:
        if not (np.isfinite(self.value) and self.value > 0):
            raise ValueError("a temperature must be greater than 0")

    def confidence(self, logits: Array) -> Floats:
        """Return the confidence (n,) of the best of (n, labels) logits."""
        return raw_confidence(np.asarray(logits / np.float32(self.value), dtype=np.float32))


@dataclass(frozen=True, slots=True)
class Platt:
    """A sigmoid over the log-odds of the best label's probability."""

    slope: float
    """Not negative: a more probable answer is never less sure."""
    intercept: float
    """0 with a slope of 1 changes nothing."""

    def __post_init__(self) -> None:
        if not (np.isfinite([self.slope, self.intercept]).all() and self.slope >= 0):
            raise ValueError("a sigmoid needs a slope of 0 or more and a finite intercept")

    def confidence(self, logits: Array) -> Floats:
        """Return the confidence (n,) of the best of (n, labels) logits."""
        return np.asarray(_sigmoid(self.slope * _log_odds(raw_confidence(logits)) + self.intercept))


@dataclass(frozen=True, slots=True)
class Line:
    """A rising broken line through (raw, calibrated) corners, both 0..1."""

    raw: tuple[float, ...]
    """Corners' raw probabilities, rising."""
    calibrated: tuple[float, ...]
    """Share that was right there, not falling."""

    def __post_init__(self) -> None:
        if len(self.raw) != len(self.calibrated) or not self.raw:
            raise ValueError("a calibration needs as many raw as calibrated corners, at least one")
        for corners in (self.raw, self.calibrated):
            if not all(
                0.0 <= a <= b <= 1.0 for a, b in zip(corners, (*corners[1:], 1.0), strict=True)
            ):
                raise ValueError("corners must rise within 0..1")

    def __call__(self, raw: Floats) -> Floats:
        """Return the calibrated probability of each raw one; flat beyond the corners."""
        return np.interp(raw, self.raw, self.calibrated)

    def confidence(self, logits: Array) -> Floats:
        """Return the confidence (n,) of the best of (n, labels) logits."""
        return self(raw_confidence(logits))


Calibration = Temperature | Platt | Line

IDENTITY = Temperature(1.0)
"""Changes nothing."""


def raw_confidence(logits: Array) -> Floats:
    """Return the probability (n,) of the best of (n, labels) logits, as the softmax says it."""
    return np.asarray(np.exp(log_softmax(logits).max(axis=1)), dtype=np.float64)


def of_probability(calibration: Calibration, raw: float) -> float:
    """Return the confidence 0..1 of an answer of which only its own raw probability is known.

    A temperature divides its log-odds: the answer against all others as one.
    """
    given = np.array([raw], dtype=np.float64)
    match calibration:
        case Temperature(value):
            return float(_sigmoid(_log_odds(given) / value)[0])
        case Platt(slope, intercept):
            return float(_sigmoid(slope * _log_odds(given) + intercept)[0])
        case Line():
            return float(calibration(given)[0])


def fit_temperature(logits: Array, targets: NDArray[np.int64]) -> Temperature:
    """Return the temperature that makes the right labels most probable; golden section over its log."""
    own = logits[np.arange(len(targets)), targets].astype(np.float64)

    def loss(log_value: float) -> float:
        scaled = logits / np.float32(np.exp(log_value))
        top = scaled.max(axis=1, keepdims=True)
        sums = np.log(np.exp(scaled - top).sum(axis=1)) + top[:, 0]
        return float((sums - own / np.exp(log_value)).mean())

    low, high, ratio = -3.0, 3.0, (np.sqrt(5.0) - 1) / 2
    for _ in range(24):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return Temperature(round(float(np.exp((low + high) / 2)), 6))


def fit_platt(raw: Floats, right: Rights) -> Platt:
    """Return the sigmoid that makes what was right most probable; Newton's method, Platt's soft targets."""
    inputs = np.stack([_log_odds(raw), np.ones(len(raw))], axis=1)
    good, bad = float(right.sum()), float((~right).sum())
    wanted = np.where(right, (good + 1) / (good + 2), 1 / (bad + 2))
    found = np.array([1.0, 0.0])
    for _ in range(50):
        told = _sigmoid(inputs @ found)
        slope = inputs.T @ (told - wanted)
        curve = (inputs * (told * (1 - told))[:, np.newaxis]).T @ inputs + 1e-9 * np.eye(2)
        step = np.linalg.solve(curve, slope)
        found = found - np.clip(step, -1.0, 1.0)
        if np.abs(step).max() < 1e-9:
            break
    return Platt(max(0.0, round(float(found[0]), 6)), round(float(found[1]), 6))


def fit_isotonic(raw: Floats, right: Rights, corners: int = 10) -> Line:
    """Fit a broken line to held-out answers.

    Answers are put into ``corners`` groups of equal size by raw probability and the groups pooled
    until the share of right answers rises (pool adjacent violators): few corners, so that a few
    hundred answers do not draw stairs of single answers.
    """
    order = np.argsort(raw, kind="stable")
    pools = [
        [float(raw[part].mean()), float(right[part].mean()), float(len(part))]
        for part in np.array_split(order, min(corners, len(order)))
    ]
    stack: list[list[float]] = []
    for pool in pools:
        stack.append(pool)
        while len(stack) > 1 and stack[-2][1] >= stack[-1][1]:
            stack[-2:] = [_pooled(stack[-2], stack[-1])]
    return Line(
        tuple(round(pool[0], 6) for pool in stack), tuple(round(pool[1], 6) for pool in stack)
    )


def fit_kind(kind: Kind, logits: Array, targets: NDArray[np.int64]) -> Calibration:
    """Fit one kind to held-out (n, labels) logits and the labels that were right."""
    if kind is Kind.TEMPERATURE:
        return fit_temperature(logits, targets)
    raw, right = raw_confidence(logits), logits.argmax(axis=1) == targets
    return fit_platt(raw, right) if kind is Kind.PLATT else fit_isotonic(raw, right)


def calibration_error(confidence: Floats, right: Rights, bins: int = 10) -> float:
    """Return the expected calibration error over equal-width bins (Guo et al., ICML 2017), 0..1."""
    places = np.minimum((confidence * bins).astype(int), bins - 1)
    error = 0.0
    for place in range(bins):
        inside = places == place
        if inside.any():
            gap = abs(float(confidence[inside].mean()) - float(right[inside].mean()))
            error += gap * float(inside.mean())
    return error


def brier(confidence: Floats, right: Rights) -> float:
    """Return the mean squared distance between confidence and rightness (Brier, 1950), 0..1."""
    return float(np.square(confidence - right).mean())


def _pooled(first: list[float], second: list[float]) -> list[float]:
    weight = first[2] + second[2]
    return [(first[i] * first[2] + second[i] * second[2]) / weight for i in (0, 1)] + [weight]


def _log_odds(raw: Floats) -> Floats:
    inside = np.clip(raw, _SMALLEST, 1 - _SMALLEST)
    return np.asarray(np.log(inside / (1 - inside)))


def _sigmoid(values: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(values, -60, 60))))
