"""The reranker's network: two layers over standardised features, in numpy.

``logit(x) = w2 . relu(W1' ((x - mean) / scale) + b1) + b2``; the relevance is its logistic function.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Mlp:
    """Weights of f features and h hidden units, float32."""

    means: Array
    """(f,) subtracted from the features."""
    scales: Array
    """(f,) they are divided by, > 0."""
    w1: Array
    """(f, h)."""
    b1: Array
    """(h,)."""
    w2: Array
    """(h,)."""
    b2: Array
    """() offset; it changes no order."""

    def logits(self, features: Array) -> Array:
        """Return (...,) logits of (..., f) features; greater is more relevant."""
        hidden = (features - self.means) / self.scales @ self.w1 + self.b1
        logits: Array = np.maximum(hidden, np.float32(0.0)) @ self.w2 + self.b2
        return logits


def relevance(logits: Array) -> Array:
    """Return the logistic function of the logits: 0..1, without overflow for any of them."""
    half: Array = np.tanh(np.float32(0.5) * logits)
    return np.float32(0.5) * (half + np.float32(1.0))
