"""How good answers are that a mapping method gave to texts it never saw: scores, and intervals over clusters."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.figure import Aim, Figure
from services.mapper.model.calibration import calibration_error
from services.mapper.model.held import accuracy_at
from services.mapper.training.corpus import Indices

RESAMPLES = 1000

Floats = NDArray[np.float64]
Measure = Callable[["Held"], float]


@dataclass(frozen=True, slots=True)
class Held:
    """Answers of one method to texts that it did not see."""

    best: Indices
    """(n,) label index given, or (n, k) of k methods or of the k best labels."""
    truth: Indices
    """Label index wanted."""
    groups: Indices
    """Cluster of each text: paraphrase family, or actor."""
    confidence: Floats | None
    """Probability that the answer is right, where the method has one."""

    @property
    def first(self) -> Indices:
        """The best label of each."""
        return self.best if self.best.ndim == 1 else self.best[:, 0]

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether each best label was."""
        return np.asarray(self.first == self.truth)

    def pick(self, rows: Indices) -> "Held":
        """Return some of the answers."""
        confidence = None if self.confidence is None else self.confidence[rows]
        return Held(self.best[rows], self.truth[rows], self.groups[rows], confidence)


def figure(
    name: str, held: Held, measure: Measure, unit: str = "%", aim: Aim | None = None
) -> Figure:
    """Return a measure with its 95 % interval, clusters resampled."""
    _, family = np.unique(held.groups, return_inverse=True)
    members = [np.flatnonzero(family == k) for k in range(family.max() + 1)]
    rng = np.random.default_rng(0)
    draws = [
        measure(held.pick(np.concatenate([members[k] for k in drawn])))
        for drawn in rng.integers(0, len(members), (RESAMPLES, len(members)))
    ]
    low, high = np.percentile(draws, [2.5, 97.5])
    return Figure(
        name=name,
        unit=unit,
        value=measure(held),
        low=float(low),
        high=float(high),
        rounds=1,
        n=len(held.truth),
        aim=aim,
    )


def lead(best: Held, other: Held, names: tuple[str, str], aim: Aim | None = None) -> Figure:
    """Return how far one method is ahead of another, paired."""
    paired = Held(np.stack([best.first, other.first], 1), best.truth, best.groups, None)

    def gain(held: Held) -> float:
        right = held.best == held.truth[:, np.newaxis]
        return 100 * float(right[:, 0].mean() - right[:, 1].mean())

    return figure(f"{names[0]} ahead of {names[1]}: top-1", paired, gain, unit="pp", aim=aim)


def top1(held: Held) -> float:
    """Return the share of right answers, percent."""
    return 100 * float(held.right.mean())


def top3(held: Held) -> float:
    """Return the share of texts whose label is among the three best, percent."""
    return 100 * float((held.best[:, :3] == held.truth[:, np.newaxis]).any(axis=1).mean())


def macro_f1(held: Held) -> float:
    """Return the mean F1 of the labels that occur, as answer or as truth, percent."""
    size = int(max(held.truth.max(), held.first.max())) + 1
    both = [np.bincount(each, minlength=size) for each in (held.truth, held.first)]
    hits = np.bincount(held.truth[held.right], minlength=size)
    occurs = (both[0] + both[1]) > 0
    return 100 * float((2 * hits[occurs] / (both[0] + both[1])[occurs]).mean())


def ece(held: Held) -> float:
    """Return the expected calibration error, percent."""
    return 100 * calibration_error(sure(held), held.right)


def covered(held: Held, coverage: float = 0.9) -> float:
    """Return the share of right answers among the surest ``coverage`` of all, percent."""
    return 100 * accuracy_at(sure(held), held.right, coverage)


def sure(held: Held) -> Floats:
    """Return the confidence; raises ValueError when the method gives none."""
    if held.confidence is None:
        raise ValueError("this method gives no confidence")
    return held.confidence
