"""A filled index against FLAT over the same vectors, on held-out queries: overlap, lost answers, golden queries."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from services.retriever.dense.flat import FlatVectors
from services.retriever.dense.index import DenseIndex, Nearest, nearest
from services.retriever.passages.visibility import VisibleSet
from services.retriever.plan import Plan
from trimtab.evaluation.metrics import DEPTH, measure
from trimtab.evaluation.overlap import MEMBER_COSINE, Overlap, overlap
from trimtab.evaluation.truth import TrueAnswer
from trimtab.evaluation.vectorbundle import VectorBundle

GOLDEN = 64
"""Held-out queries whose exact answers a component carries."""

_OVERLAP_DEPTH = 10
_ASK = 32

Report = Callable[[str, int, int], None]
"""``report(what, done, of)``: how far a step is."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The index against the exact search, on held-out queries."""

    overlap: Overlap | None
    """At ten results; None without queries."""
    members: int
    """Queries left out, for they are stored passages."""
    losses: dict[str, float]
    """Metric -> exact less approximate, mean over the queries that say what is relevant; empty without such."""
    judged: int
    """Queries that say so."""


def measure_index(
    index: DenseIndex, bundle: VectorBundle, plan: Plan, report: Report
) -> tuple[Measured, list[TrueAnswer]]:
    """Ask a filled index and FLAT every query; return how they compare, and golden answers.

    Slots of the index are rows of the bundle. Queries that are stored passages are left out.
    """
    flat, total = FlatVectors(bundle.vectors.shape[1]), len(bundle.vectors)
    flat.put(np.arange(total, dtype=np.int64), bundle.vectors)
    everything = VisibleSet(total, True, np.full(total // 8 + 1, 255, dtype=np.uint8))
    exact, found, kept = [], [], []
    for number, query in enumerate(bundle.query_vectors):
        truth = flat.search(query, DEPTH, everything)
        if len(truth.cosines) and truth.cosines[0] < MEMBER_COSINE:
            kept.append(number)
            exact.append(truth)
            found.append(
                nearest(
                    index,
                    flat.vectors,
                    query,
                    DEPTH,
                    everything,
                    plan.dense.nprobe,
                    plan.index.refine,
                )
            )
        if number % _ASK == 0 or number + 1 == len(bundle.query_vectors):
            report("measuring", number + 1, len(bundle.query_vectors))
    members = len(bundle.query_vectors) - len(kept)
    golden = [_golden(bundle, number, truth) for number, truth in zip(kept, exact, strict=True)]
    golden = [answer for answer in golden if answer.ids][:GOLDEN]
    if not kept:
        return Measured(None, members, {}, 0), []
    slots = [_names(each) for each in found], [_names(each) for each in exact]
    summary, _ = overlap(*slots, _OVERLAP_DEPTH)
    losses, judged = _losses(bundle, kept, found, exact)
    return Measured(summary, members, losses, judged), golden


def _names(found: Nearest) -> list[str]:
    return [str(slot) for slot in found.slots.tolist()]


def _losses(
    bundle: VectorBundle, kept: list[int], found: list[Nearest], exact: list[Nearest]
) -> tuple[dict[str, float], int]:
    known = set(bundle.ids)
    told = [
        place
        for place, number in enumerate(kept)
        if known.intersection(bundle.queries[number].relevant)
    ]
    if not told:
        return {}, 0
    relevant = [bundle.queries[kept[place]].relevant for place in told]
    after, before = (
        measure([[bundle.ids[slot] for slot in side[place].slots] for place in told], relevant)
        for side in (found, exact)
    )
    return {name: float((before[name] - after[name]).mean()) for name in before}, len(told)


def _golden(bundle: VectorBundle, number: int, truth: Nearest) -> TrueAnswer:
    pairs = [
        (bundle.ids[slot], round(cosine, 6))
        for slot, cosine in zip(
            truth.slots[:_OVERLAP_DEPTH].tolist(),
            truth.cosines[:_OVERLAP_DEPTH].tolist(),
            strict=True,
        )
        if bundle.ids[slot]
    ]
    return TrueAnswer(
        id=bundle.queries[number].id,
        ids=[name for name, _ in pairs],
        cosines=[cosine for _, cosine in pairs],
        vector=bundle.query_vectors[number].tolist(),
    )
