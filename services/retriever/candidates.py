"""Which passages are candidates: the best of each list that the plan names, with every score of each, fused. Pure."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from services.retriever.dense.index import Nearest, Slots, Vectors
from services.retriever.edition import Edition
from services.retriever.fusion import LegScores, best_first, fuse
from services.retriever.passages.visibility import VisibleSet
from services.retriever.plan import Leg
from services.retriever.vectordb.database import FarAnswer
from services.retriever.words.terms import Stem, terms
from trimtab.contracts.retrieve import RetrieveRequest, SparseUse
from trimtab.contracts.sparse import SparseRow

_SAME_COSINE = 0.9999
"""From here on two vectors are those of one text, but for rounding."""
_DEEPEST = 4096
"""Longest list that is looked for so that copies of what was read do not leave too few others."""
_NO_SLOTS = np.empty(0, dtype=np.int64)
_NO_SCORES = np.empty(0, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, checked."""

    request: RetrieveRequest
    """As it came."""
    vector: NDArray[np.float32]
    """(dimension,) of unit length."""
    sparse: SparseRow | None
    """Its learned sparse vector; None without, or when the collection has none."""
    effort: tuple[int, int]
    """How many of the best of each list are looked for, and in how many lists of the dense index."""
    visible: VisibleSet
    """What may be found."""
    read: Vectors | None = None
    """(n, dimension) unit rows of what the caller read: a passage that is one of them is no candidate."""

    def sparse_use(self, edition: Edition) -> SparseUse | None:
        """Return what becomes of learned sparse vectors; None when the plan does not look for them."""
        if "sparse" not in edition.plan.legs:
            return None
        if not edition.collection.sparse.size:
            return SparseUse.NO_PASSAGES
        return SparseUse.NO_VECTOR if self.sparse is None else SparseUse.USED

    def legs(self, edition: Edition) -> Collection[Leg]:
        """Return the lists that candidates come from: the vectors' when no other is left."""
        if self.sparse_use(edition) is SparseUse.USED:
            return edition.plan.legs
        return [leg for leg in edition.plan.legs if leg != "sparse"] or ["dense"]


@dataclass(frozen=True, slots=True)
class Pool:
    """Candidates of all lists with all scores, best fused score first."""

    slots: Slots
    """(n,) distinct."""
    fused: NDArray[np.float32]
    """(n,) what they are ordered by."""
    scores: LegScores
    """Of each list, whether it found the candidate or not."""
    visited: int
    """Lists of the dense index that were looked in."""
    read: int = 0
    """How many more were found and left out, because the caller read them."""
    more: bool = False
    """Whether a list was as long as was asked for: a longer one may hold others."""

    def pick(self, positions: NDArray[np.int64] | slice) -> "Pool":
        """Return some of the candidates."""
        return replace(
            self,
            slots=self.slots[positions],
            fused=self.fused[positions],
            scores=self.scores.pick(positions),
        )


class Clock:
    """Time of each part of a search."""

    def __init__(self) -> None:
        self.took_s: dict[str, float] = {}
        """Seconds by part."""
        self._last = time.perf_counter()

    def lap(self, part: str) -> None:
        """End a part, or one more turn of it."""
        now = time.perf_counter()
        self.took_s[part] = self.took_s.get(part, 0.0) + now - self._last
        self._last = now


def candidates(
    edition: Edition, asked: Asked, stem: Stem, clock: Clock, far: FarAnswer | None
) -> Pool:
    """Return the candidates of a request, at most its limit, none that the caller read.

    Where copies of what was read fill the lists, longer ones are looked for, up to ``_DEEPEST``, while
    there may be others.
    ``far``: what the vector database found, for a collection that lives there; it is asked once.
    """
    pool = _found(edition, asked, stem, clock, far)
    deepest = 1 if far is not None else min(asked.visible.count, _DEEPEST)
    while _short(pool, asked) and asked.effort[0] < deepest:
        depth, nprobe = asked.effort
        asked = replace(asked, effort=(2 * depth, nprobe))
        pool = _found(edition, asked, stem, clock, far)
    return pool


def _short(pool: Pool, asked: Asked) -> bool:
    """Return whether what was read took the room of others that longer lists may hold."""
    return pool.read > 0 and pool.more and len(pool.slots) < asked.request.limit


def _found(edition: Edition, asked: Asked, stem: Stem, clock: Clock, far: FarAnswer | None) -> Pool:
    legs = asked.legs(edition)
    near = _near(edition, asked, legs, far)
    clock.lap("dense")
    slots, longest = near.slots, len(near.slots)
    query = asked.sparse if "sparse" in legs else None
    if query is not None:
        products = _products_found(edition, asked, query)
        slots, longest = _joined(slots, products), max(longest, len(products))
    slots, bm25, matched = _worded(edition, asked, legs, slots, terms(asked.request.text, stem))
    beyond = edition.collection.vectors(slots[len(near.slots) :])
    scores = LegScores(
        np.concatenate([near.cosines, beyond @ asked.vector]),
        bm25,
        None if query is None else edition.collection.sparse.scores(query, slots),
    )
    found = len(slots)
    if asked.read is not None:
        unread = _unread(edition, slots, asked.read)
        slots, scores = slots[unread], scores.pick(unread)
    fused = fuse(scores, edition.plan.fusion, legs)
    more = max(longest, matched) >= asked.effort[0]
    pool = Pool(slots, fused, scores, near.visited, found - len(slots), more)
    clock.lap("lexical")
    return pool.pick(best_first(pool.fused, asked.request.limit))


def _unread(edition: Edition, slots: Slots, read: Vectors) -> NDArray[np.int64]:
    """Return the positions of slots whose vector is none of the rows that the caller read."""
    same = edition.collection.vectors(slots) @ read.T >= _SAME_COSINE
    return np.flatnonzero(~same.any(axis=1))


def _near(edition: Edition, asked: Asked, legs: Collection[Leg], far: FarAnswer | None) -> Nearest:
    if "dense" not in legs:
        return Nearest(_NO_SLOTS, _NO_SCORES)
    if far is not None:
        return edition.collection.located(far.found, asked.vector, asked.visible)
    depth, nprobe = asked.effort
    return edition.nearest(asked.vector, depth, asked.visible, nprobe)


def _products_found(edition: Edition, asked: Asked, query: SparseRow) -> Slots:
    index, depth = edition.collection.sparse, asked.effort[0]
    return index.search(query, depth, asked.visible, _NO_SLOTS).slots


def _worded(
    edition: Edition, asked: Asked, legs: Collection[Leg], slots: Slots, words: Sequence[str]
) -> tuple[Slots, NDArray[np.float32], int]:
    """Return the slots, with those that words find behind them, the BM25 score of each, how many words find."""
    if "words" not in legs:
        return slots, edition.word_scores(words, slots), 0
    found = edition.matches(words, asked.effort[0], asked.visible, slots)
    added = np.isin(found.slots, slots, invert=True)
    return (
        np.concatenate([slots, found.slots[added]]),
        np.concatenate([found.others, found.scores[added]]),
        len(found.slots),
    )


def _joined(slots: Slots, more: Slots) -> Slots:
    return np.concatenate([slots, more[np.isin(more, slots, invert=True)]])
