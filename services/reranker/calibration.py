"""Scores made probabilities: logistic regression of the labels on one number (Platt, 1999), and how far off.

Pure numpy.
"""

import numpy as np
from numpy.typing import NDArray

_NEWTON_STEPS = 25
_HALVINGS = 40
_RIDGE = 1e-3

BINS = 15
"""Of equal width, as in Guo et al. (ICML 2017)."""

Vector = NDArray[np.float64]


def calibrate(logits: NDArray[np.float32], labels: NDArray[np.bool_]) -> tuple[float, float]:
    """Return slope and offset that make ``logistic(slope * logit + offset)`` a probability.

    Newton's method on (n,) logits and labels. The slope is negative when the labels fall with the
    logits, and 0 or near it when the logits say nothing.
    """
    x, y = logits.astype(np.float64), labels.astype(np.float64)
    centre, spread = x.mean(), max(x.std(), 1e-9)
    design = np.stack([(x - centre) / spread, np.ones_like(x)], axis=1)
    prior = np.clip(y.mean(), 1e-6, 1.0 - 1e-6)
    beta = np.array([0.0, np.log(prior / (1.0 - prior))])
    for _ in range(_NEWTON_STEPS):
        beta = _newton(beta, design, y)
    slope = float(beta[0] / spread)
    return slope, float(beta[1] - slope * centre)


def calibration_error(scores: NDArray[np.float32], labels: NDArray[np.bool_]) -> float:
    """Return the expected calibration error of (n,) scores 0..1: 0..1, 0 for perfect ones.

    The mean over all scores of how far the mean score of their bin is from the share of it that is right.

    Raises:
        ValueError: there are no scores.
    """
    if not len(scores):
        raise ValueError("a calibration error needs scores")
    bins = np.minimum((scores * BINS).astype(np.int64), BINS - 1)
    said = np.bincount(bins, weights=scores.astype(np.float64), minlength=BINS)
    true = np.bincount(bins, weights=labels.astype(np.float64), minlength=BINS)
    return float(np.abs(said - true).sum() / len(scores))


def _newton(beta: Vector, design: Vector, y: Vector) -> Vector:
    """Take one step, halved until it does not lose likelihood."""
    p = 0.5 * (np.tanh(0.5 * (design @ beta)) + 1.0)
    upwards = design.T @ (y - p) - _RIDGE * beta
    curvature = (design * (p * (1.0 - p))[:, np.newaxis]).T @ design + _RIDGE * np.eye(2)
    step = np.linalg.solve(curvature, upwards)
    now = _cost(beta, design, y)
    for _ in range(_HALVINGS):
        if _cost(beta + step, design, y) <= now:
            return beta + step
        step *= 0.5
    return beta


def _cost(beta: Vector, design: Vector, y: Vector) -> float:
    z = design @ beta
    return float((np.logaddexp(0.0, z) - y * z).sum() + 0.5 * _RIDGE * (beta @ beta))
