"""Late interaction: how well each query token is answered by the best token of a passage.

MaxSim(q, p) = mean over query tokens of the greatest dot product with a token of p (Khattab and
Zaharia, SIGIR 2020, there as a sum). Token vectors are unit rows times 127 as int8.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SCALE = 127.0
"""An int8 component is the unit vector's times this."""


def maxsim(query: NDArray[np.int8], passages: Sequence[bytes]) -> NDArray[np.float32]:
    """Return one score per passage, about -1..1.

    Args:
        query: (query tokens, dimension) int8, at least one row.
        passages: each passage's token vectors, row-major int8 of the same dimension; a passage
            without any scores 0, which is what unrelated tokens score.
    """
    dimension = query.shape[1]
    counts = np.array([len(tokens) // dimension for tokens in passages], dtype=np.int64)
    scores = np.zeros(len(passages), dtype=np.float32)
    present = counts > 0
    if not present.any():
        return scores
    rows = np.frombuffer(b"".join(passages), dtype=np.int8).reshape(-1, dimension)
    similarity = (query.astype(np.float32) / (SCALE * SCALE)) @ rows.astype(np.float32).T
    starts = np.concatenate(([0], np.cumsum(counts[present])[:-1]))
    best = np.maximum.reduceat(similarity, starts, axis=1)
    scores[present] = best.mean(axis=0)
    return scores
