"""What is known of a model from examples that it did not see: how its confidence came true. Pure.

Everything is of whole answers: the best label of a text, and the confidence that it is right.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from services.mapper.model.calibration import Floats, Rights, brier, calibration_error

Share = Annotated[float, Meta(ge=0, le=1)]

PRECISION = 0.95
"""The precision that one of the thresholds is for."""

_BINS = 10
_POINTS = 101


class Bin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Answers whose confidence lies in one tenth of 0..1."""

    answers: Annotated[int, Meta(ge=0)]
    """How many."""
    confidence: Share
    """Their mean confidence; 0 without answers."""
    right: Share
    """Share of them that was right; 0 without answers."""


class Point(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a threshold on the confidence does."""

    threshold: Share
    """Answers below it are left to the rules."""
    coverage: Share
    """Share of texts that the model answers."""
    precision: Share
    """Share of these answers that are right; 1 where there are none."""
    recall: Share
    """Share of all texts that are answered rightly."""

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def most_f1(points: Sequence[Point]) -> Point:
    """Return the point with the greatest F1; the lowest of equal ones."""
    return max(points, key=lambda point: (point.f1, -point.threshold))


def lowest_precise(points: Sequence[Point], precision: float = PRECISION) -> Point | None:
    """Return the lowest threshold from which on precision never falls below what is asked."""
    found = None
    for point in reversed(points):
        if point.precision < precision:
            break
        found = point if point.coverage else found
    return found


class DetectorHeld(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The same of one detector's outputs: whether it needs a threshold of its own."""

    answers: Annotated[int, Meta(ge=1)]
    """How many."""
    top1: Share
    """Share whose best label was right."""
    error: Share
    """Expected calibration error after calibration, held out."""
    curve: list[Point]
    """From threshold 0 to 1."""


class HeldOut(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a component did on examples that it was not trained on."""

    answers: Annotated[int, Meta(ge=1)]
    """How many."""
    top1: Share
    """Share whose best label was right."""
    top3: Share
    """Share whose label was among the three best."""
    errors: dict[str, float]
    """Expected calibration error before (``raw``) and after each kind, held out."""
    distances: dict[str, float]
    """The same as Brier scores: the kind with the least was taken."""
    before: list[Bin]
    """By raw confidence."""
    after: list[Bin]
    """By calibrated confidence."""
    curve: list[Point]
    """From threshold 0 to 1."""
    detectors: dict[str, DetectorHeld] = {}
    """Detector -> the same of its outputs alone; empty where the examples name none."""

    def best_f1(self) -> Point:
        """Return the point of the curve with the greatest F1; the lowest of equal ones."""
        return most_f1(self.curve)

    def precise(self, precision: float = PRECISION) -> Point | None:
        """Return the lowest threshold from which on precision never falls below what is asked."""
        return lowest_precise(self.curve, precision)


def tell(
    right: Rights,
    among_three: Rights,
    confidence: Mapping[str, Floats],
    chosen: str,
    detectors: Sequence[str] = (),
) -> HeldOut:
    """Return how answers did, by whether the best label was right and the right one among the three best.

    ``confidence`` holds what the answers' confidence is before calibration (``raw``) and after each kind;
    ``chosen`` names the kind that counts.
    """
    sure = confidence[chosen]
    return HeldOut(
        answers=len(right),
        top1=round(float(right.mean()), 4),
        top3=round(float(among_three.mean()), 4),
        errors={
            name: round(calibration_error(each, right), 4) for name, each in confidence.items()
        },
        distances={name: round(brier(each, right), 6) for name, each in confidence.items()},
        before=bins(confidence["raw"], right),
        after=bins(sure, right),
        curve=curve(sure, right),
        detectors=by_detector(detectors, sure, right),
    )


def bins(confidence: Floats, right: Rights) -> list[Bin]:
    """Return the answers in ten bins of equal width."""
    places = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    found = []
    for place in range(_BINS):
        inside = places == place
        count = int(inside.sum())
        means = (confidence[inside].mean(), right[inside].mean()) if count else (0.0, 0.0)
        found.append(Bin(count, round(float(means[0]), 4), round(float(means[1]), 4)))
    return found


def curve(confidence: Floats, right: Rights) -> list[Point]:
    """Return what thresholds from 0 to 1 in hundredths do."""
    found = []
    for threshold in np.linspace(0.0, 1.0, _POINTS):
        kept = confidence >= threshold
        hits = float((kept & right).sum())
        count = float(kept.sum())
        precision = hits / count if count else 1.0
        shares: Sequence[float] = (count / len(right), precision, hits / len(right))
        found.append(Point(round(float(threshold), 2), *(round(share, 4) for share in shares)))
    return found


def accuracy_at(confidence: Floats, right: Rights, coverage: float) -> float:
    """Return the share of right answers among the most confident ``coverage`` of all."""
    kept = np.argsort(-confidence, kind="stable")[: max(1, round(coverage * len(right)))]
    return float(right[kept].mean())


def by_detector(
    detectors: Sequence[str], confidence: Floats, right: Rights
) -> dict[str, DetectorHeld]:
    """Return how each detector's outputs did, by name; nothing when all are of one."""
    if len(set(detectors)) < 2:
        return {}
    names = np.array(detectors)
    found = {}
    for name in sorted(set(detectors)):
        sure, hits = confidence[names == name], right[names == name]
        found[name] = DetectorHeld(
            answers=len(hits),
            top1=round(float(hits.mean()), 4),
            error=round(calibration_error(sure, hits), 4),
            curve=curve(sure, hits),
        )
    return found
