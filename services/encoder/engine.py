"""What runs a component's model file, one text at a time, and what it gives."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Output = tuple[NDArray[np.float32], NDArray[np.float32] | None]
"""(1, dimension) vector and, when asked for, (tokens, hidden) token vectors."""


class Engine(Protocol):
    """Runs a model file on one text."""

    def run(self, ids: NDArray[np.int64], *, tokens: bool) -> Output:
        """Return the output for (1, tokens) ids.

        Raises:
            ModelFailed: the engine raised.
        """
