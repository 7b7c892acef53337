"""Stored vectors of a collection, page by page, from the passage store: what an index is built of elsewhere.

Pages go by stream sequence, which every worker has alike: it does not matter which of them answers.
"""

import contextlib
from pathlib import Path

import numpy as np

from services.retriever.passages import schema
from services.retriever.passages.store import CollectionRow
from trimtab.contracts.retrieve import PUBLIC_TENANT
from trimtab.contracts.tensor import Matrix
from trimtab.contracts.vectors import VectorsReply, VectorsRequest

_PAGE = (
    "SELECT p.sequence, p.tenant, p.id, v.vector FROM passage p JOIN vectors v ON v.row = p.row"
    " WHERE p.collection = ? AND p.sequence > ? ORDER BY p.sequence LIMIT ?"
)
_COUNT = "SELECT count(*) FROM passage WHERE collection = ?"
_ID_BYTES = 260
"""An id has at most 256 characters, nearly always of one byte."""


def page(
    path: Path, row: CollectionRow, request: VectorsRequest, tenant: str, reply_bytes: int
) -> VectorsReply:
    """Return the vectors of the passages after a sequence, as many as fit ``reply_bytes``.

    Every tenant's vectors are in it, for an index holds them all; ids only of what ``tenant`` may see. ``path``
    is the store's file.
    """
    fit = max(1, reply_bytes // (4 * row.dimension + _ID_BYTES))
    wanted = min(request.limit, fit)
    with contextlib.closing(schema.connect(path)) as store:
        found = list(store.execute(_PAGE, (row.number, request.after, wanted + 1)))
        (total,) = store.execute(_COUNT, (row.number,)).fetchone()
    rows = found[:wanted]
    seen = (tenant, PUBLIC_TENANT)
    raw = b"".join(vector for _, _, _, vector in rows)
    vectors = np.frombuffer(raw, dtype="<f4").reshape(len(rows), row.dimension)
    return VectorsReply(
        namespace=row.namespace,
        encoder=row.component,
        passages=int(total),
        ids=[name if owner in seen else "" for _, owner, name, _ in rows],
        vectors=Matrix.of(vectors),
        last=int(rows[-1][0]) if rows else request.after,
        more=len(found) > len(rows),
    )
