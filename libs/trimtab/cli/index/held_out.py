"""What comparing an index with the exact search needs: queries encoded, stored ones left out, both compared."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trimtab.cli.judged import inconclusive
from trimtab.evaluation.asking import Found
from trimtab.evaluation.bootstrap import Clusters, Interval, paired
from trimtab.evaluation.metrics import Values, measure
from trimtab.evaluation.overlap import MEMBER_COSINE, Overlap, overlap
from trimtab.evaluation.queries import Query

FEWEST = 20
"""Held-out queries below which nothing is judged."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """An approximate answer beside the exact one."""

    overlap: Overlap
    """Over all held-out queries."""
    shares: Values
    """Of each."""
    deltas: dict[str, Interval]
    """Metric -> approximate less exact, over the queries that say what is relevant; empty without such."""


def usable(truth: Sequence[Found]) -> tuple[list[int], int]:
    """Return the numbers of the queries that are no stored passages, and how many are.

    One is told by its vector, or by its words where a title stands before them in what was encoded.

    Raises:
        Failure: too few are left to judge anything.
    """
    kept = [
        number
        for number, found in enumerate(truth)
        if found.best_cosine < MEMBER_COSINE and not found.repeats
    ]
    if len(kept) < FEWEST:
        raise inconclusive(
            f"{len(kept)} of {len(truth)} queries are held out, fewer than {FEWEST}",
            "give a file of queries that people asked, not passages of the collection",
        )
    return kept, len(truth) - len(kept)


def compare(
    queries: Sequence[Query],
    truth: Sequence[Found],
    found: Sequence[Found],
    kept: Sequence[int],
    depth: int,
    seed: int,
) -> Comparison:
    """Return how the found results of the ``kept`` queries compare with the true ones.

    Raises:
        Failure: not even the exact search finds one relevant passage, so nothing could get lost.
    """
    summary, shares = overlap(
        [found[number].ids for number in kept], [truth[number].ids for number in kept], depth
    )
    told = [number for number in kept if queries[number].relevant]
    if not told:
        return Comparison(summary, shares, {})
    relevant = [queries[number].relevant for number in told]
    before = measure([truth[number].ids for number in told], relevant)
    after = measure([found[number].ids for number in told], relevant)
    if not np.any(before["Contain@50"]):
        raise inconclusive(
            "the exact search finds no relevant passage of any query",
            "check that the relevant ids are ids of this collection",
        )
    clusters = Clusters([queries[number].cluster for number in told], seed)
    deltas = {name: paired(after[name], before[name], clusters) for name in before}
    return Comparison(summary, shares, deltas)
