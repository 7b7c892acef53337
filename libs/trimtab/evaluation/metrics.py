"""How good a ranking is, query by query: recall, reciprocal rank, containment. Pure.

R@k and MRR@10 are those of ir-measures (``R@k``, ``RR@10``), Contain@50 is its ``Success@50``; where every
query has one right answer, R@k is the share of queries that find it among the first k.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
"""One value per query, in their order."""

Measure = Callable[[Sequence[str], Collection[str]], float]

DEPTH = 50
"""Results that every metric can be computed from."""


def recall_at(ranking: Sequence[str], relevant: Collection[str], depth: int) -> float:
    """Return the share of the ``relevant`` ids among the first ``depth`` of a ranking without repeats."""
    return len(set(ranking[:depth]).intersection(relevant)) / len(relevant)


def reciprocal_rank(ranking: Sequence[str], relevant: Collection[str], depth: int = 10) -> float:
    """Return 1 / rank of the first relevant id; 0 when there is none among the first ``depth``."""
    for rank, found in enumerate(ranking[:depth], start=1):
        if found in relevant:
            return 1.0 / rank
    return 0.0


def contains(ranking: Sequence[str], relevant: Collection[str], depth: int = DEPTH) -> float:
    """Return 1 when any relevant id is among the first ``depth``, else 0."""
    return float(not set(ranking[:depth]).isdisjoint(relevant))


METRICS: Mapping[str, Measure] = {
    "R@1": lambda ranking, relevant: recall_at(ranking, relevant, 1),
    "R@5": lambda ranking, relevant: recall_at(ranking, relevant, 5),
    "R@10": lambda ranking, relevant: recall_at(ranking, relevant, 10),
    "MRR@10": reciprocal_rank,
    "Contain@50": contains,
}
"""Each gives one value per query; the figure is their mean."""


def measure(
    rankings: Sequence[Sequence[str]], relevant: Sequence[Collection[str]]
) -> dict[str, Values]:
    """Return every metric of every query.

    Raises:
        ValueError: the two are not of equal length, or a query has no relevant id.
    """
    if len(rankings) != len(relevant):
        raise ValueError(f"{len(rankings)} rankings of {len(relevant)} queries")
    if not all(relevant):
        raise ValueError("a query without relevant ids cannot be measured")
    return {
        name: np.array(
            [of(ranking, ids) for ranking, ids in zip(rankings, relevant, strict=True)],
            dtype=np.float64,
        )
        for name, of in METRICS.items()
    }


def without_repeats(ids: Iterable[str]) -> tuple[str, ...]:
    """Return the ids in order, each once: two tenants may use the same one."""
    return tuple(dict.fromkeys(ids))
