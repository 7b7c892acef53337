"""One encode reply of a context and its query, taken apart: the query's vector and tokens, the whole window."""

from dataclasses import dataclass

import numpy as np

from trimtab.contracts.encode import EncodeReply, TokenVectors
from trimtab.contracts.sparse import SparseVectors
from trimtab.contracts.tensor import Matrix


@dataclass(frozen=True, slots=True)
class Window:
    """What a retriever needs of a query and what came before it."""

    vector: Matrix
    """(1, dimension): the query's."""
    tokens: TokenVectors | None
    """The query's; nobody compares the context's."""
    rows: Matrix | None
    """(n, dimension), oldest first, the query last; None without context."""
    sparse: SparseVectors | None = None
    """The query's learned sparse vector; None where the encoder made none."""


def window_of(encoded: EncodeReply) -> Window:
    """Take apart the reply to ``[*context, query]``."""
    if encoded.vectors.rows == 1:
        return Window(encoded.vectors, encoded.tokens, None, encoded.sparse)
    return Window(
        Matrix.of(encoded.vectors.array()[-1:]),
        _last(encoded.tokens),
        encoded.vectors,
        None if encoded.sparse is None else encoded.sparse.apart()[-1],
    )


def _last(tokens: TokenVectors | None) -> TokenVectors | None:
    if tokens is None or not tokens.counts:
        return tokens
    count = tokens.counts[-1]
    rows = tokens.matrix.array()
    return TokenVectors(
        matrix=Matrix.of(np.ascontiguousarray(rows[len(rows) - count :])), counts=[count]
    )
