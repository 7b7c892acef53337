"""Asking a live index the same questions in several ways: exactly, and visiting few lists."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trimtab.contracts.retrieve import EVERY_LIST, RetrieveReply
from trimtab.evaluation.live import Advance, Encoded, Live
from trimtab.evaluation.metrics import without_repeats

_WARM_UP = 5
"""Requests per nprobe that are not timed."""


@dataclass(frozen=True, slots=True)
class Found:
    """One answer of the vectors alone."""

    ids: tuple[str, ...]
    """Best first."""
    best_cosine: float
    """Of the first; -1 when nothing was found."""
    repeats: bool = False
    """Whether the query is the text of one of them, word for word: a title before it moves the vector away."""


@dataclass(frozen=True, slots=True)
class Timed:
    """Answers to all queries at one nprobe."""

    found: list[Found]
    """In the order of the queries."""
    took_ms: list[float]
    """Of the whole retrieve stage, words included, as a search asks for it; over the bus."""


async def exact(
    live: Live, collection: str, queries: Sequence[Encoded], limit: int, advance: Advance
) -> list[Found]:
    """Return the true nearest passages of every query."""
    return await approximate(live, collection, queries, limit, EVERY_LIST, advance)


async def approximate(
    live: Live,
    collection: str,
    queries: Sequence[Encoded],
    limit: int,
    nprobe: int,
    advance: Advance,
) -> list[Found]:
    """Return what visiting ``nprobe`` lists finds for every query."""
    answers = []
    for query in queries:
        reply = await live.nearest(collection, query.vector, limit, nprobe)
        answers.append(_found(reply, query.text))
        advance(1)
    return answers


async def timed(
    live: Live,
    collection: str,
    queries: Sequence[Encoded],
    nprobes: Sequence[int],
    limit: int,
    seed: int,
    advance: Advance,
) -> dict[int, Timed]:
    """Ask every query at every nprobe and time it.

    The order of the nprobes changes from query to query, so that whatever else the machine does in
    between falls on all of them alike.
    """
    pool = live.pool()
    for nprobe in nprobes:
        for query in queries[:_WARM_UP]:
            await live.candidates(collection, query, pool, nprobe)
    rng = np.random.default_rng(seed)
    results = {nprobe: Timed([], []) for nprobe in nprobes}
    for query in queries:
        for nprobe in rng.permutation(np.array(nprobes)).tolist():
            began = time.perf_counter()
            await live.candidates(collection, query, pool, nprobe)
            results[nprobe].took_ms.append(1000 * (time.perf_counter() - began))
            reply = await live.nearest(collection, query.vector, limit, nprobe)
            results[nprobe].found.append(_found(reply, query.text))
            advance(1)
    return results


def _found(reply: RetrieveReply, text: str) -> Found:
    cosines = [] if reply.signals is None else reply.signals.cosine.array()[0].tolist()
    words = text.split()
    return Found(
        without_repeats(hit.id for hit in reply.hits),
        max(cosines, default=-1.0),
        any(hit.text.split() == words for hit in reply.hits),
    )
