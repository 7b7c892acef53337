"""What turns a window of vectors, the context and the query, into the vector that is searched with.

``last_vec`` and ``mean`` need no training and are always there; what was trained is measured against both.
"""

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

WINDOW: Literal[5] = 5
"""Vectors that a query model reads: four of the context and the query's own, the last."""

MEAN = "mean"

_EPSILON = 1e-12


class QueryModel(Protocol):
    """One model in service; called from one thread."""

    @property
    def reference(self) -> str:
        """``name@version``, or the name alone of one that needs no component."""

    @property
    def least(self) -> int:
        """Vectors that a window must hold; a shorter one is not padded, since repeats are another language."""

    def fits(self, namespace: str, dimension: int) -> bool:
        """Return whether it reads vectors of that space."""

    def vector(self, window: Vectors) -> Vectors:
        """Return the unit vector (dimension,) for a window (n >= least, dimension), oldest first."""


class Mean:
    """The L2-normalised mean of the last five vectors, or of as many as there are: for every space."""

    reference = MEAN
    least = 2

    def fits(self, namespace: str, dimension: int) -> bool:
        """Return True: a mean is a mean in every space."""
        return True

    def vector(self, window: Vectors) -> Vectors:
        """Return the unit vector of the mean."""
        return unit(window[-WINDOW:].mean(axis=0, dtype=np.float32))


def unit(vectors: Vectors) -> Vectors:
    """Return vectors (..., dimension) at length 1; one without length gives numbers that are not finite."""
    norms = np.sqrt(np.square(vectors, dtype=np.float64).sum(axis=-1, keepdims=True))
    norms[norms < _EPSILON] = np.nan
    scaled: Vectors = (vectors / norms).astype(np.float32)
    return scaled
