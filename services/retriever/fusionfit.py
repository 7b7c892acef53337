"""Chooses how dense and lexical scores become one, from queries whose answers are known. Pure.

Every blend weight and every RRF constant of a grid is tried on the training queries; what finds most right
passages among the first five is then judged, once, on queries of other clusters.
"""

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.retriever.fusion import BOTH, LegScores, Scores, best_first, fuse
from services.retriever.plan import FusionPlan
from trimtab.evaluation.bootstrap import Clusters, Interval, paired
from trimtab.evaluation.metrics import DEPTH, Values, measure

WEIGHTS = tuple(round(0.05 * step, 2) for step in range(41))
"""Blend weights tried: 0 to 2."""

_COARSE = 4
"""Every so many of the weights are tried first where there are two."""

RRF_KS = (1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0, 100.0)
"""RRF constants tried; 60 is that of Cormack et al. (SIGIR 2009)."""

_TRAIN_SHARE = 0.5


class NothingToFit(ValueError):
    """There are too few queries, or too few kinds of them, to choose and to judge; says what to do."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The candidates of one query whose answer is known."""

    ids: tuple[str, ...]
    """Of n candidates of both lists, in any order."""
    cosine: NDArray[np.float32]
    """(n,) query-passage cosine."""
    bm25: NDArray[np.float32]
    """(n,) BM25 score; 0 where no term occurs."""
    relevant: frozenset[str]
    """Ids of the right passages; at least one, found or not."""
    cluster: str
    """Article or actor of the query: all on one side of the split."""
    sparse: NDArray[np.float32] | None = None
    """(n,) inner product of learned sparse vectors; None where they were not searched."""


@dataclass(frozen=True, slots=True)
class Fit:
    """What was chosen and what it is worth."""

    fusion: FusionPlan
    """Best on the training queries."""
    before: FusionPlan
    """What it is compared with."""
    train: int
    """Training queries."""
    test: int
    """Queries it was judged on."""
    gain: Interval
    """Difference in R@5 on them, a share, with its 95 % interval over whole clusters."""
    gain_mrr: Interval
    """The same for MRR@10."""

    @property
    def helps(self) -> bool:
        """Whether it is better than before beyond chance."""
        return bool(self.gain.low > 0.0)


def fit(queries: Sequence[Judged], before: FusionPlan, seed: int = 0) -> Fit:
    """Choose on one half of the clusters and judge on the other.

    Raises:
        NothingToFit: one of the halves is empty.
    """
    train = [query for query in queries if trains(query.cluster)]
    test = [query for query in queries if not trains(query.cluster)]
    if not train or not test:
        raise NothingToFit(
            f"{len(train)} training and {len(test)} held-out queries: name the article or actor of"
            " each query as its cluster, and bring queries of more of them"
        )
    return judged(test, best(train, before), before, train=len(train), seed=seed)


def best(train: Sequence[Judged], before: FusionPlan) -> FusionPlan:
    """Return the plan of greatest R@5 on the training queries; MRR@10 decides between equals.

    With sparse scores both weights are chosen together: coarsely first, then around the best.
    """

    def worth(plan: FusionPlan) -> tuple[float, float]:
        found = quality(train, plan)
        return round(float(found["R@5"].mean()), 9), float(found["MRR@10"].mean())

    if all(query.sparse is None for query in train):
        return max(_plans(before), key=worth)
    return max(_around(max(_coarsely(before), key=worth)), key=worth)


def judged(
    test: Sequence[Judged], chosen: FusionPlan, before: FusionPlan, *, train: int, seed: int = 0
) -> Fit:
    """Compare two plans on queries on which neither was chosen."""
    clusters = Clusters([query.cluster for query in test], seed)
    after, earlier = quality(test, chosen), quality(test, before)
    gain, mrr = (paired(after[name], earlier[name], clusters) for name in ("R@5", "MRR@10"))
    return Fit(chosen, before, train, len(test), gain, mrr)


def quality(queries: Sequence[Judged], plan: FusionPlan) -> dict[str, Values]:
    """Return every metric of every query when candidates are fused as a plan says."""
    rankings = [
        [query.ids[at] for at in best_first(_fused(query, plan), DEPTH)] for query in queries
    ]
    return measure(rankings, [query.relevant for query in queries])


def _fused(query: Judged, plan: FusionPlan) -> Scores:
    scores = LegScores(query.cosine, query.bm25, query.sparse)
    return fuse(scores, plan, BOTH if query.sparse is None else (*BOTH, "sparse"))


def trains(cluster: str) -> bool:
    """Whether queries of a cluster are for training: decided by its name alone."""
    digest = hashlib.sha256(f"fusion/{cluster}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < _TRAIN_SHARE * 2**64


def _plans(before: FusionPlan) -> Iterator[FusionPlan]:
    for weight in WEIGHTS:
        yield msgspec.structs.replace(before, method="blend", lexical_weight=weight)
    for rrf_k in RRF_KS:
        yield msgspec.structs.replace(before, method="rrf", rrf_k=rrf_k)


def _coarsely(before: FusionPlan) -> Iterator[FusionPlan]:
    """Yield blends of three legs a fifth apart, and every RRF."""
    for lexical, sparse in itertools.product(WEIGHTS[::_COARSE], repeat=2):
        yield msgspec.structs.replace(
            before, method="blend", lexical_weight=lexical, sparse_weight=sparse
        )
    yield from (plan for plan in _plans(before) if plan.method == "rrf")


def _around(plan: FusionPlan) -> Iterator[FusionPlan]:
    """Yield the plan and, of a blend, those with weights near its own."""
    yield plan
    if plan.method == "blend":
        lexical, sparse = (_near(each) for each in (plan.lexical_weight, plan.sparse_weight))
        for one, other in itertools.product(lexical, sparse):
            yield msgspec.structs.replace(plan, lexical_weight=one, sparse_weight=other)


def _near(weight: float) -> tuple[float, ...]:
    at = WEIGHTS.index(weight)
    return WEIGHTS[max(0, at - _COARSE + 1) : at + _COARSE]
