"""L2 norms of vectors that must have unit length: gathered in parts, judged by one tolerance. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimtab.contracts.inspect import NormFacts


@dataclass(frozen=True, slots=True)
class Norms:
    """What is known of the norms seen so far; parts are added with ``+``."""

    count: int = 0
    """Vectors seen."""
    least: float = float("inf")
    """Smallest norm that is a number."""
    greatest: float = float("-inf")
    """Greatest norm that is a number."""
    total: float = 0.0
    """Sum of the norms that are numbers."""
    beyond: int = 0
    """Vectors further from 1 than the tolerance, or without a finite norm."""

    def __add__(self, other: "Norms") -> "Norms":
        return Norms(
            self.count + other.count,
            min(self.least, other.least),
            max(self.greatest, other.greatest),
            self.total + other.total,
            self.beyond + other.beyond,
        )

    def facts(self) -> NormFacts:
        """Return them as a contract; of nothing, every norm is 1."""
        if self.count == 0 or self.least > self.greatest:
            return NormFacts(
                count=self.count, least=1.0, greatest=1.0, mean=1.0, beyond=self.beyond
            )
        return NormFacts(
            count=self.count,
            least=self.least,
            greatest=self.greatest,
            mean=self.total / self.count,
            beyond=self.beyond,
        )


def norms_of(vectors: NDArray[np.float32], tolerance: float) -> Norms:
    """Return the norms of the rows of (n, dimension) f32, computed in f64.

    f32 sums of squares would be off by up to 1e-6 themselves, a tenth of the tolerance.
    """
    if not len(vectors):
        return Norms()
    found = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    finite = found[np.isfinite(found)]
    beyond = len(found) - int(np.count_nonzero(np.abs(finite - 1.0) <= tolerance))
    if not len(finite):
        return Norms(count=len(found), beyond=beyond)
    return Norms(len(found), float(finite.min()), float(finite.max()), float(finite.sum()), beyond)


def all_norms(parts: Iterable[NDArray[np.float32]], tolerance: float) -> Norms:
    """Return the norms of all rows of several matrices."""
    return sum((norms_of(part, tolerance) for part in parts), Norms())
