"""Confidence that means something: a fitted map from a raw probability to how often it is right. Pure.

The map is a rising broken line, stored as its corners in JSON; isotonic regression (Zadrozny and
Elkan, KDD 2002) with equal neighbours joined is exactly that.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Calibration:
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


IDENTITY = Calibration((0.0, 1.0), (0.0, 1.0))
"""Changes nothing."""


def fit_isotonic(raw: Floats, right: NDArray[np.bool_], corners: int = 10) -> Calibration:
    """Fit a calibration to held-out answers.

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
    return Calibration(
        tuple(round(pool[0], 6) for pool in stack), tuple(round(pool[1], 6) for pool in stack)
    )


def _pooled(first: list[float], second: list[float]) -> list[float]:
    weight = first[2] + second[2]
    return [(first[i] * first[2] + second[i] * second[2]) / weight for i in (0, 1)] + [weight]


def calibration_error(confidence: Floats, right: NDArray[np.bool_], bins: int = 10) -> float:
    """Return the expected calibration error over equal-width bins (Guo et al., ICML 2017), 0..1."""
    places = np.minimum((confidence * bins).astype(int), bins - 1)
    error = 0.0
    for place in range(bins):
        inside = places == place
        if inside.any():
            gap = abs(float(confidence[inside].mean()) - float(right[inside].mean()))
            error += gap * float(inside.mean())
    return error
