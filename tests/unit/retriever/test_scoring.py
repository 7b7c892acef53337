"""Signals of loose texts."""

import numpy as np
import pytest

from services.retriever.fusion import blend
from services.retriever.maxsim import maxsim
from services.retriever.scoring import score
from services.retriever.words.terms import english_stemmer
from tests.unit.retriever.corpora import PLAN, token_rows, unit
from trimtab.contracts.encode import TokenVectors
from trimtab.contracts.errors import DimensionMismatch, InvalidMessage
from trimtab.contracts.retrieve import ScoreRequest
from trimtab.contracts.tensor import Matrix

RNG = np.random.default_rng(0)
VECTORS = unit(RNG, 5)
TEXTS = ["copy the tree", "open a socket", "copy", "read json"]


def asked(**changes: object) -> ScoreRequest:
    fields: dict[str, object] = {
        "text": "copying trees",
        "vector": Matrix.of(VECTORS[4:]),
        "documents": TEXTS,
        "document_vectors": Matrix.of(VECTORS[:4]),
    }
    return ScoreRequest(**{**fields, **changes})  # type: ignore[arg-type]


def test_every_signal_stands_in_the_order_of_the_documents() -> None:
    query_tokens, rows = token_rows(RNG, 2), token_rows(RNG, 9)
    request = asked(
        tokens=TokenVectors(matrix=Matrix.of(query_tokens), counts=[2]),
        document_tokens=TokenVectors(matrix=Matrix.of(rows), counts=[4, 2, 0, 3]),
    )

    signals = score(request, PLAN, english_stemmer()).signals

    cosine, bm25 = signals.cosine.array()[0], signals.bm25.array()[0]
    assert cosine == pytest.approx(VECTORS[:4] @ VECTORS[4], abs=1e-6)
    assert bm25[0] > bm25[2] > 0.0
    assert bm25[1] == bm25[3] == 0.0
    assert signals.fused.array()[0] == pytest.approx(blend(cosine, bm25, 0.4))
    parts = [rows[:4], rows[4:6], rows[6:6], rows[6:]]
    expected = maxsim(query_tokens, [part.tobytes() for part in parts])
    assert signals.maxsim is not None
    assert signals.maxsim.array()[0] == pytest.approx(expected)
    assert signals.articles == [0, 1, 2, 3]


def test_without_token_vectors_there_is_no_maxsim() -> None:
    signals = score(asked(), PLAN, english_stemmer()).signals

    assert signals.maxsim is None


def test_a_query_that_shares_no_word_scores_by_cosine_alone() -> None:
    signals = score(asked(text="nothing"), PLAN, english_stemmer()).signals

    assert signals.bm25.array()[0].tolist() == [0.0] * 4
    assert signals.fused.array()[0].tolist() == signals.cosine.array()[0].tolist()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"vector": Matrix.of(unit(RNG, 1, 8))}, DimensionMismatch, id="query-dim"),
        pytest.param({"document_vectors": Matrix.of(VECTORS[:3])}, InvalidMessage, id="rows"),
        pytest.param({"document_vectors": Matrix.of(VECTORS[:4] * 2)}, InvalidMessage, id="norms"),
        pytest.param(
            {"document_vectors": Matrix.of(VECTORS[:4].astype(np.float16))},
            InvalidMessage,
            id="dtype",
        ),
        pytest.param({"vector": Matrix.of(VECTORS[:2])}, InvalidMessage, id="two-queries"),
        pytest.param(
            {
                "document_tokens": TokenVectors(
                    matrix=Matrix.of(token_rows(RNG, 5)), counts=[5, 1, 0, 0]
                )
            },
            InvalidMessage,
            id="token-counts",
        ),
        pytest.param(
            {
                "document_tokens": TokenVectors(
                    matrix=Matrix.of(token_rows(RNG, 5)), counts=[6, -1, 0, 0]
                )
            },
            InvalidMessage,
            id="negative-count",
        ),
        pytest.param(
            {
                "tokens": TokenVectors(
                    matrix=Matrix.of(np.rint(unit(RNG, 2, 4) * 127).astype(np.int8)),
                    counts=[2],
                ),
                "document_tokens": TokenVectors(
                    matrix=Matrix.of(token_rows(RNG, 5)), counts=[5, 0, 0, 0]
                ),
            },
            DimensionMismatch,
            id="token-dimension",
        ),
    ],
)
def test_what_does_not_fit_is_a_typed_error(changes: dict[str, object], error: type) -> None:
    with pytest.raises(error):
        score(asked(**changes), PLAN, english_stemmer())
