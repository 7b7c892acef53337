"""The head over dense and lexical features together: one hidden layer, as numbers and numpy alone. Pure.

A text's vector and its weighted lexical features meet in the hidden layer, so that a rare word counts
in the light of what the whole text says.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Bag = tuple[NDArray[np.int64], Array]
"""A text's buckets, ascending, and the weight of each, of unit length."""


@dataclass(frozen=True, slots=True)
class Network:
    """``labels = out.T @ relu(dense.T @ vector + rows.T @ bag + bias) + out_bias``."""

    rows: Array
    """(buckets, hidden): a text has few buckets, so only few rows are read."""
    dense: Array
    """(dimension, hidden)."""
    bias: Array
    """(hidden,)."""
    out: Array
    """(hidden, labels)."""
    out_bias: Array
    """(labels,)."""

    def logits(self, vectors: Array, bags: Sequence[Bag]) -> Array:
        """Return (n, labels) for (n, dimension) unit vectors and the bags of the same texts."""
        read = np.stack([values @ self.rows[places] for places, values in bags])
        hidden = np.maximum(vectors @ self.dense + read + self.bias, 0.0)
        return np.asarray(hidden @ self.out + self.out_bias, dtype=np.float32)
