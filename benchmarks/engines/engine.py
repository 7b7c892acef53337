"""What every engine of the search comparison does: build once, open with so many threads, search one query."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

SAME_GRAPH = {"m": 16, "ef_construction": 128}
"""Of every HNSW graph here, so that peers differ by their engine, not by their graph."""


class Engine(Protocol):
    """One index over unit vectors; the id of a vector is its row number."""

    setup: str
    """Kind of index and the parameters of its build, for the report."""
    knob: str
    """What trades speed for recall: ``nprobe``, ``ef``."""
    least: int
    """Smallest value of the knob."""
    most: int
    """Largest value that makes sense; known once the index is open."""

    def build(self, vectors: Vectors, folder: Path) -> None:
        """Index (n, dimension) ``vectors``, which may be mapped from a file, and keep the index in ``folder``."""

    def open(self, folder: Path, threads: int) -> None:
        """Load what :meth:`build` kept, to search it with that many threads."""

    def search(self, query: Vectors, limit: int, effort: int) -> Sequence[int]:
        """Return the row numbers nearest to a (dimension,) query, best first; ``effort`` is the knob."""


def lists_for(passages: int) -> int:
    """Return the number of IVF lists: the square root, as in our shipped component."""
    return max(1, round(math.sqrt(passages)))
