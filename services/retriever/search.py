"""From a request to candidates: dense and lexical lists, fused, with the signals a reranker needs.

Pure given the edition. A tenant's visible set restricts both lists before they are made, and
what comes out is checked once more against the stored owner.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.retriever import query
from services.retriever.candidates import Asked, Clock, candidates
from services.retriever.dense.index import Vectors
from services.retriever.edition import Edition
from services.retriever.passages.visibility import VisibleSet
from services.retriever.retrieved import Retrieved
from services.retriever.signals import late_interaction, signals
from services.retriever.vectordb.database import FarAnswer
from services.retriever.words.terms import Stem
from trimtab.contracts.errors import NamespaceMismatch
from trimtab.contracts.retrieve import (
    PUBLIC_TENANT,
    Hit,
    IndexUse,
    RetrieveReply,
    RetrieveRequest,
    Signals,
)

EMPTY_RESULT = "empty_result"
LOW_COSINE = "low_cosine"
POOL_TRIMMED = "pool_trimmed"
NEAR_DUPLICATES = "near_duplicates"
"""Bad events: nothing found; nothing near; fewer candidates than asked, to keep the reply sendable; too
many candidates that say the same."""

_SAME_COSINE = 0.98
_SAME_SHARE = 0.03
"""Runbook 5, T0: fewer than 3 % of the candidates are near-duplicates, at cosine > 0.98, of a better one."""

_TOP = 5
"""Candidates that runbook 5 watches the diversity of."""


class ForeignPassage(Exception):
    """A passage of another tenant came as far as the reply: a fault of ours, and nothing is sent."""


def retrieve(
    edition: Edition,
    request: RetrieveRequest,
    tenant: str,
    stem: Stem,
    reply_bytes: int,
    far: FarAnswer | None = None,
    read: Vectors | None = None,
) -> Retrieved:
    """Answer one request for ``tenant``; the passages of a reply stay below ``reply_bytes``.

    ``far``: what the vector database found, for a collection that lives there. ``read``: (n, dimension)
    unit rows of context that the request's vector was made of; the passages that they are stay away.

    Raises:
        NamespaceMismatch: the vector, or the sparse one, is of another space than the collection's.
        DimensionMismatch: the vector or the token vectors are of another dimension.
        InvalidMessage: they are not what they should be.
        ForeignPassage: the visible set was wrong; never seen, always checked.
    """
    collection = edition.collection
    vector = asked_vector(edition, request)
    query_tokens = query.one_text("query token vectors", request.tokens)
    session = query.session(request.session, collection.row.dimension)
    visible = collection.visible(tenant)
    if request.exclude:
        visible = visible.without(collection.slots_of(request.exclude, tenant))

    asked = Asked(
        request,
        vector,
        query.sparse_row(request.collection, request.sparse, collection.row.sparse),
        effort(edition, request, read),
        visible,
        read,
    )

    clock = Clock()
    pool = candidates(edition, asked, stem, clock, far)
    positions, hits = collection.hits(pool.slots)
    pool = pool.pick(positions)
    best_cosine = float(pool.scores.cosine.max(initial=-1.0))
    _check_owners(hits, tenant)
    sendable = _sendable(hits, reply_bytes)
    trimmed = sendable < len(hits)
    hits, pool = hits[:sendable], pool.pick(slice(sendable))
    clock.lap("passages")
    found = None
    if hits:
        late = late_interaction(
            query_tokens, collection.tokens(pool.slots), collection.row.token_dimension
        )
        found = signals(
            fused=pool.fused,
            cosine=pool.scores.cosine,
            bm25=pool.scores.bm25,
            late=late,
            vectors=collection.vectors(pool.slots),
            articles=[hit.article for hit in hits],
            session=session,
            sparse=pool.scores.sparse,
        )
    clock.lap("signals")
    reply = RetrieveReply(
        collection=request.collection,
        index=collection.version,
        hits=hits,
        signals=found,
        search=_use(edition, request, visible, pool.visited) if request.explain else None,
        dense=None if far is None else far.outage,
        sparse=asked.sparse_use(edition),
    )
    noticed = _noticed(best_cosine < edition.plan.low_cosine, trimmed, found)
    top_cosine = None if found is None else _likeness(found.gram.array()[:_TOP, :_TOP])
    return Retrieved(reply, clock.took_s, noticed if hits else (EMPTY_RESULT,), top_cosine)


def asked_vector(edition: Edition, request: RetrieveRequest) -> NDArray[np.float32]:
    """Return the vector to search with, (dimension,) of unit length.

    Raises:
        NamespaceMismatch: it is of another space than the collection's.
        DimensionMismatch: it is of another dimension.
        InvalidMessage: it is not one row of f32 of unit length.
    """
    row = edition.collection.row
    if request.namespace != row.namespace:
        what = f"the query of collection {request.collection!r}"
        raise NamespaceMismatch(what, request.namespace, row.namespace)
    return query.unit_vector("query vector", request.vector, row.dimension)


def effort(
    edition: Edition, request: RetrieveRequest, read: Vectors | None = None
) -> tuple[int, int]:
    """Return how many of the nearest are looked for, those ``read`` besides, and in how many lists."""
    plan = edition.plan
    depth = max(request.limit, plan.fusion.depth) + (0 if read is None else len(read))
    return depth, request.nprobe or plan.dense.nprobe


def _use(edition: Edition, request: RetrieveRequest, visible: VisibleSet, visited: int) -> IndexUse:
    nprobe = request.nprobe or edition.plan.dense.nprobe
    return IndexUse(
        kind=edition.kind,
        lists=edition.nlist,
        nprobe=nprobe,
        visited=visited,
        exact=edition.exactly(visible, nprobe),
        took_ms={},
    )


def _check_owners(hits: Sequence[Hit], tenant: str) -> None:
    for hit in hits:
        if hit.tenant not in (tenant, PUBLIC_TENANT):
            raise ForeignPassage("a candidate belongs to another tenant; nothing was sent")


def _sendable(hits: Sequence[Hit], reply_bytes: int) -> int:
    """Return how many of the best hits fit the reply."""
    if len(msgspec.msgpack.encode(hits)) <= reply_bytes:
        return len(hits)
    sizes = np.cumsum([len(msgspec.msgpack.encode(hit)) for hit in hits])
    return int(np.searchsorted(sizes, reply_bytes, side="right"))


def _noticed(low_cosine: bool, trimmed: bool, found: Signals | None) -> tuple[str, ...]:
    events = {
        LOW_COSINE: low_cosine,
        POOL_TRIMMED: trimmed,
        NEAR_DUPLICATES: found is not None and _repeated(found.gram.array()) >= _SAME_SHARE,
    }
    return tuple(event for event, happened in events.items() if happened)


def _repeated(gram: NDArray[np.float16]) -> float:
    """Return the share of candidates that lie next to a better one; ``gram`` is best first."""
    return float(np.tril(gram > _SAME_COSINE, -1).any(axis=1).mean())


def _likeness(gram: NDArray[np.float16]) -> float | None:
    """Return the mean cosine between different candidates, at least 0; None for fewer than two."""
    count = len(gram)
    if count < 2:
        return None
    cosines = gram.astype(np.float32)
    return max(0.0, float(cosines.sum() - np.trace(cosines)) / (count * (count - 1)))
