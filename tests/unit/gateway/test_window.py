"""The reply to a context and its query, taken apart."""

import numpy as np

from services.gateway.window import window_of
from trimtab.contracts.encode import EncodeReply, TokenVectors
from trimtab.contracts.tensor import Matrix

ROWS = np.eye(4, dtype=np.float32)
TOKENS = np.arange(18, dtype=np.int8).reshape(9, 2)


def encoded(texts: int, counts: list[int] | None) -> EncodeReply:
    tokens = None
    if counts is not None:
        tokens = TokenVectors(matrix=Matrix.of(TOKENS[: sum(counts)]), counts=counts)
    return EncodeReply(
        namespace="n",
        vectors=Matrix.of(ROWS[:texts]),
        token_counts=[1] * texts,
        truncated=0,
        cached=0,
        tokens=tokens,
    )


def test_a_query_without_context_is_passed_on_as_it_came() -> None:
    reply = encoded(1, [3])

    window = window_of(reply)

    assert window.rows is None
    assert window.vector is reply.vectors
    assert window.tokens is reply.tokens


def test_the_query_is_the_last_and_the_tokens_are_its_own() -> None:
    window = window_of(encoded(3, [2, 3, 4]))

    assert window.rows == Matrix.of(ROWS[:3])
    assert window.vector == Matrix.of(ROWS[2:3])
    assert window.tokens == TokenVectors(matrix=Matrix.of(TOKENS[5:9]), counts=[4])


def test_a_query_without_token_vectors_has_none_of_the_contexts() -> None:
    empty = window_of(encoded(2, [5, 0])).tokens

    assert window_of(encoded(2, None)).tokens is None
    assert empty is not None
    assert (empty.matrix.rows, empty.counts) == (0, [0])
