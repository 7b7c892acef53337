"""BM25 in two factors: what a term is worth, and how full of it a passage is. Pure.

The formula is Lucene's, as bm25s has it (Lù, 2024; its scores are this module's test): with tf the times
term t stands in passage p, df the passages that hold t, and n passages of mean length l,

    rarity(t) * saturation(t, p)
    rarity(t) = log(1 + (n - df + 0.5) / (df + 0.5))
    saturation(t, p) = tf / (tf + d(p)),  d(p) = k1 * (1 - b + b * len(p) / l)

Rarity changes with every passage and is computed when a query comes. Saturation depends on the others by
their mean length alone, so it is kept, for the mean at the time. If the mean is then l' instead of l, a kept
saturation is off by a factor of at most max(l / l', l' / l), because d changes by no more than that.
"""

from array import array
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.retriever.plan import LexicalPlan
from services.retriever.words.columns import Columns

Terms = Sequence[int]
"""Term ids of one passage, repeats kept; an ``array("i")`` where it stays in memory."""

Lengths = NDArray[np.int32]


def lengths_of(documents: Sequence[Terms]) -> Lengths:
    """Return how many terms each passage has."""
    return np.fromiter(map(len, documents), dtype=np.int32, count=len(documents))


def rarity(passages: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Return what terms are worth that stand in so many of ``count`` ``passages``."""
    return np.log1p((count - passages + 0.5) / (passages + 0.5))


def held_by(
    documents: Sequence[Terms], lengths: Lengths
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the terms that occur, ascending, and how many of the passages hold each."""
    terms, pointers, _, _ = _counted(documents, lengths)
    return terms, np.diff(pointers)


def columns_of(
    documents: Sequence[Terms], lengths: Lengths, mean: float, plan: LexicalPlan
) -> Columns:
    """Return the saturation of each term in each passage, for passages of ``mean`` length."""
    terms, pointers, rows, frequency = _counted(documents, lengths)
    values = (frequency / (frequency + _damping(lengths, mean, plan)[rows])).astype(np.float32)
    return Columns.of(terms, pointers, rows, values)


def rescaled(
    columns: Columns, lengths: Lengths, before: float, now: float, plan: LexicalPlan
) -> Columns:
    """Return the columns as they are when the mean length is ``now`` instead of ``before``.

    tf need not be known: with s = tf / (tf + d), the new one is s / (s + (1 - s) * d' / d).
    """
    if before == now or plan.k1 == 0.0 or plan.b == 0.0:
        return columns
    old_damping = _damping(lengths, before, plan)
    ratio = np.ones(len(lengths))  # a passage without terms has no values either
    np.divide(_damping(lengths, now, plan), old_damping, out=ratio, where=old_damping > 0)
    old = columns.values
    values = old / (old + (1 - old) * ratio.astype(np.float32)[columns.rows])
    return Columns.of(columns.terms, columns.pointers, columns.rows, values.astype(np.float32))


def _damping(lengths: Lengths, mean: float, plan: LexicalPlan) -> NDArray[np.float64]:
    relative = lengths.astype(np.float64) / mean
    return plan.k1 * (1.0 - plan.b + plan.b * relative)


def _counted(
    documents: Sequence[Terms], lengths: Lengths
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    """Return the terms that occur, pointers, rows and how often each stands there, column by column."""
    count = len(documents)
    joined = b"".join(memoryview(_as_array(document)) for document in documents)
    # One sort of (term, passage) pairs, one number each: it counts repeats and makes the columns.
    pairs = np.frombuffer(joined, dtype=np.intc).astype(np.int64) * count
    pairs += np.repeat(np.arange(count), lengths)
    pairs.sort()
    first = np.flatnonzero(np.diff(pairs, prepend=-1))
    frequency = np.diff(first, append=len(pairs))
    terms, rows = np.divmod(pairs[first], max(count, 1))
    starts = np.flatnonzero(np.diff(terms, prepend=-1))
    return terms[starts], np.append(starts, len(terms)), rows.astype(np.int32), frequency


def _as_array(document: Terms) -> "array[int]":
    return document if isinstance(document, array) else array("i", document)
