"""Logits made probabilities: logistic regression of the labels on each candidate's lead (Platt, 1999). Pure numpy.

A network that is trained on lists says who is ahead, not how good anybody is: its logits have no level that two
queries share. What they share is the lead, the log odds that a candidate is the right one among its own list.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_NEWTON_STEPS = 25
_HALVINGS = 40
_RIDGE = 1e-3

BINS = 15
"""Of equal width, as in Guo et al. (ICML 2017)."""

_LEAST_REST = 1e-12
_NONES = (-30.0, -6.0, -4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0)
"""Tried for ``Curve.none``, relative to the median mass of a list."""

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Curve:
    """``relevance = logistic(slope * lead + offset)``; the order within a list stays that of the logits."""

    slope: float
    """> 0."""
    offset: float
    """Of the logit."""
    none: float
    """Logit of the right answer's being none of the list; a single candidate is compared with it alone."""

    def relevance(self, logits: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return (..., n) probabilities of (..., n) logits of whole lists; 0 for a logit of minus infinity."""
        scores = self.slope * leads(logits, self.none) + self.offset
        return (0.5 * (np.tanh(0.5 * scores) + 1.0)).astype(np.float32)


def leads(logits: NDArray[np.floating], none: float) -> Vector:
    """Return ``l_i - log(e^none + sum of e^l_j over j != i)`` for every candidate of (..., n) lists."""
    values = logits.astype(np.float64)
    top = np.maximum(values.max(axis=-1, keepdims=True), none)
    mass = np.exp(values - top).sum(axis=-1, keepdims=True) + np.exp(none - top)
    total = top + np.log(mass)
    rest = np.maximum(1.0 - np.exp(values - total), _LEAST_REST)
    lead: Vector = values - total - np.log(rest)
    return lead


def fit(
    logits: NDArray[np.floating], relevant: NDArray[np.bool_], present: NDArray[np.bool_]
) -> Curve:
    """Return the curve under which the labels of (q, n) lists are likeliest; absent candidates are left out."""
    masked = np.where(present, logits, -np.inf)
    middle = float(np.median(np.logaddexp.reduce(masked.astype(np.float64), axis=1)))
    labels = relevant[present]
    tried = [_fitted(masked, present, labels, middle + none) for none in _NONES]
    return min(tried, key=lambda each: each[0])[1]


def _fitted(
    masked: Vector, present: NDArray[np.bool_], labels: NDArray[np.bool_], none: float
) -> tuple[float, Curve]:
    """Return the cost of the best curve with one ``none``, and the curve."""
    lead = leads(masked, none)[present]
    slope, offset = calibrate(lead, labels)
    z = slope * lead + offset
    cost = float((np.logaddexp(0.0, z) - labels * z).sum())
    return cost, Curve(slope, offset, none)


def calibrate(logits: NDArray[np.floating], labels: NDArray[np.bool_]) -> tuple[float, float]:
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
