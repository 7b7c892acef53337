"""What a text is compared with: vectors of known meaning, and the words of the labels' descriptions. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.mapper.model.network import Array, Bag

SHARPNESS = np.float32(10.0)
"""Cosines are multiplied by it, so that they move a softmax as much as log-probabilities do."""


@dataclass(frozen=True, slots=True)
class Anchors:
    """Vectors of known meaning, sorted by label."""

    vectors: Array
    """(anchors, dimension), unit rows."""
    labels: NDArray[np.int64]
    """(anchors,) label index of each, rising."""
    present: NDArray[np.int64] = field(init=False)
    """Labels that have anchors, rising."""
    starts: NDArray[np.int64] = field(init=False)
    """Where the anchors of each of them begin."""
    sizes: Array = field(init=False)
    """How many each of them has."""

    def __post_init__(self) -> None:
        present, starts = np.unique(self.labels, return_index=True)
        sizes = np.diff([*starts, len(self.labels)]).astype(np.float32)
        for name, value in (("present", present), ("starts", starts), ("sizes", sizes)):
            object.__setattr__(self, name, value)

    @classmethod
    def of(cls, vectors: Array, labels: NDArray[np.int64]) -> "Anchors":
        """Sort the anchors by label."""
        order = np.argsort(labels, kind="stable")
        return cls(np.ascontiguousarray(vectors[order]), labels[order])


def similarities(
    anchors: Anchors, vectors: Array, labels: int, floor: Array | None = None
) -> tuple[Array, Array]:
    """Return per label the greatest cosine and the log of the mean of exp(SHARPNESS * cosine).

    A label without anchors takes ``floor``, or 0.
    """
    least = np.zeros((len(vectors), labels), dtype=np.float32) if floor is None else floor
    if not len(anchors.labels):
        return least, least * SHARPNESS
    cosines = vectors @ anchors.vectors.T
    greatest, mean = least.copy(), least * SHARPNESS
    greatest[:, anchors.present] = np.maximum.reduceat(cosines, anchors.starts, axis=1)
    sums = np.add.reduceat(np.exp(SHARPNESS * cosines), anchors.starts, axis=1)
    mean[:, anchors.present] = np.log(sums / anchors.sizes)
    return greatest, mean


@dataclass(frozen=True, slots=True)
class Terms:
    """Lexical features of each label's own words, by bucket: who has this bucket, and how much of it."""

    starts: NDArray[np.int64]
    """(buckets + 1,) where each bucket's entries begin."""
    labels: NDArray[np.int64]
    """(entries,) label index."""
    values: Array
    """(entries,) weight; a label's are of unit length."""

    def similarities(self, bags: Sequence[Bag], labels: int) -> Array:
        """Return (n, labels) cosines between texts and labels."""
        return np.stack([self._one(places, values, labels) for places, values in bags])

    def _one(self, places: NDArray[np.int64], values: Array, labels: int) -> Array:
        begin, sizes = self.starts[places], self.starts[places + 1] - self.starts[places]
        ends = np.cumsum(sizes)
        entries = np.arange(ends[-1] if len(ends) else 0) + np.repeat(begin - ends + sizes, sizes)
        products = np.repeat(values, sizes) * self.values[entries]
        found = np.bincount(self.labels[entries], weights=products, minlength=labels)
        return np.asarray(found, dtype=np.float32)
