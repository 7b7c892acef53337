"""Sessions made up of labelled queries: what the caller of each query is taken to have asked before.

``opsdocs`` and ``stdlib``: consecutive questions of one article, in its order. ``attack``: behaviours of one
actor, in no order. Both are optimistic: a real caller strays, and comes back. So every query also has a
foreign session, of another article or actor, which stands for a caller who changed the subject.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.rerank_data import Query, Split, Task, asked_of

EARLIER = 3
"""Queries of a session that are remembered, as the gateway remembers them."""

_IN_ORDER = frozenset({"opsdocs", "stdlib"})
_SEED = 19

Earlier = list[list[int]]
"""Of each query, the positions of up to three earlier ones, oldest first."""


def earlier(task: Task, split: Split) -> Earlier:
    """Return what was asked before each query of a split; nothing before the first of its article or actor."""
    parts = task.parts or (task,)
    found: Earlier = []
    for part in parts:
        start = len(found)
        found += [[start + each for each in before] for before in _of(part, split)]
    return found


def foreign(queries: Sequence[Query], own: Earlier) -> Earlier:
    """Return for each query the session of another, drawn among those of other clusters that have one."""
    rng = np.random.default_rng(_SEED)
    having = np.array([n for n, before in enumerate(own) if before], dtype=np.int64)
    found: Earlier = []
    for query in queries:
        drawn = rng.permutation(having)[:20].tolist()
        other = next((n for n in drawn if queries[n].cluster != query.cluster), None)
        found.append([] if other is None else own[other])
    return found


def mean(vectors: NDArray[np.float32], before: Sequence[int]) -> NDArray[np.float32] | None:
    """Return the mean of some of (n, dimension) unit rows, at unit length; None of none."""
    if not before:
        return None
    row = vectors[list(before)].astype(np.float64).mean(axis=0)
    unit: NDArray[np.float32] = (row / np.linalg.norm(row)).astype(np.float32)
    return unit


def _of(task: Task, split: Split) -> Earlier:
    queries = asked_of(task, split)
    places = {document.id: place for place, document in enumerate(task.documents)}
    clusters: dict[str, list[int]] = defaultdict(list)
    for number, query in enumerate(queries):
        clusters[query.cluster].append(number)
    found: Earlier = [[] for _ in queries]
    for members in clusters.values():
        if task.name in _IN_ORDER:
            members.sort(key=lambda number: places[queries[number].relevant])
        for position, number in enumerate(members):
            found[number] = members[max(0, position - EARLIER) : position]
    return found
