"""What of the stream may become a passage."""

import numpy as np
import pytest

from services.retriever.passages.passage import Refusal, RefusedPassage, from_message
from tests.unit.retriever.corpora import COMPONENT, NAMESPACE, token_rows, unit
from trimtab.contracts.documents import Document, IndexedPassage
from trimtab.contracts.encode import TokenVectors
from trimtab.contracts.tensor import Matrix

RNG = np.random.default_rng(0)
VECTOR = unit(RNG, 1)
TOKENS = token_rows(RNG, 4)


def message(
    vector: Matrix, tokens: TokenVectors | None = None, article: str = ""
) -> IndexedPassage:
    return IndexedPassage(
        collection="docs",
        namespace=NAMESPACE,
        component=COMPONENT,
        document=Document(id="p1", text="text", title="title", article=article, tenant="acme"),
        content_hash="0" * 64,
        vector=vector,
        tokens=tokens,
    )


def test_a_message_becomes_a_passage_with_everything_it_said() -> None:
    tokens = TokenVectors(matrix=Matrix.of(TOKENS), counts=[4])

    passage = from_message(message(Matrix.of(VECTOR), tokens), 41)

    assert (passage.sequence, passage.collection, passage.hit.tenant) == (41, "docs", "acme")
    assert passage.hit.article == "p1"
    assert np.array_equal(passage.vector, VECTOR[0])
    assert passage.tokens == TOKENS.tobytes()
    assert passage.token_dimension == TOKENS.shape[1]


def test_article_is_kept_and_missing_tokens_are_none() -> None:
    passage = from_message(message(Matrix.of(VECTOR), article="module"), 1)

    assert passage.hit.article == "module"
    assert (passage.tokens, passage.token_dimension) == (b"", 0)


@pytest.mark.parametrize(
    ("vector", "refusal"),
    [
        pytest.param(Matrix.of(VECTOR * 2), Refusal.NORM, id="not-unit"),
        pytest.param(Matrix.of(VECTOR * 0), Refusal.NORM, id="zero"),
        pytest.param(Matrix.of(VECTOR * np.float32("nan")), Refusal.NORM, id="nan"),
        pytest.param(Matrix.of(unit(RNG, 2)), Refusal.DIMENSION, id="two-rows"),
        pytest.param(Matrix.of(VECTOR.astype(np.float16)), Refusal.DIMENSION, id="f16"),
        pytest.param(
            Matrix(dtype="f32", rows=1, dim=16, data=b"\0" * 60), Refusal.DIMENSION, id="bytes"
        ),
    ],
)
def test_a_vector_that_is_not_one_unit_row_is_refused(vector: Matrix, refusal: Refusal) -> None:
    with pytest.raises(RefusedPassage) as caught:
        from_message(message(vector), 1)

    assert caught.value.refusal is refusal


@pytest.mark.parametrize(
    "tokens",
    [
        pytest.param(TokenVectors(matrix=Matrix.of(TOKENS), counts=[3]), id="count"),
        pytest.param(TokenVectors(matrix=Matrix.of(TOKENS), counts=[2, 2]), id="two-texts"),
        pytest.param(
            TokenVectors(matrix=Matrix.of(TOKENS.astype(np.float32)), counts=[4]), id="dtype"
        ),
        pytest.param(
            TokenVectors(matrix=Matrix(dtype="i8", rows=4, dim=8, data=b"\0"), counts=[4]),
            id="bytes",
        ),
    ],
)
def test_token_vectors_that_do_not_fit_are_refused(tokens: TokenVectors) -> None:
    with pytest.raises(RefusedPassage) as caught:
        from_message(message(Matrix.of(VECTOR), tokens), 1)

    assert caught.value.refusal is Refusal.TOKENS
