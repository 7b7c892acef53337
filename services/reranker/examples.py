"""What a reranker is trained on: candidates of queries, as features, with labels and clusters."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Examples:
    """Candidates of q queries, padded to n each, of f features."""

    features: NDArray[np.float32]
    """(q, n, f), finite."""
    relevant: Mask
    """(q, n) right answers; a query without any teaches only the calibration."""
    present: Mask
    """(q, n) False where a row is padding."""
    clusters: NDArray[np.int64]
    """(q,) equal numbers are never split between training and validation."""
    base: NDArray[np.float32] | None = None
    """(q, n) logits that what is trained is added to; None: to nothing."""

    def pick(self, queries: NDArray[np.integer]) -> "Examples":
        """Return some of the queries."""
        return Examples(
            self.features[queries],
            self.relevant[queries],
            self.present[queries],
            self.clusters[queries],
            None if self.base is None else self.base[queries],
        )

    def added_to(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (q, n) logits with the base added."""
        return logits if self.base is None else logits + self.base
