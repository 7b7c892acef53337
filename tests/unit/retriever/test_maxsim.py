"""MaxSim against its definition, spelled out."""

import numpy as np
import pytest

from services.retriever.maxsim import maxsim
from tests.unit.retriever.corpora import token_rows


def by_definition(query: np.ndarray, passages: list[np.ndarray]) -> list[float]:
    scores = []
    for rows in passages:
        dots = [[float(q @ p) for p in rows / 127] for q in query / 127]
        scores.append(sum(max(row) for row in dots) / len(query))
    return scores


def test_score_is_the_mean_over_query_tokens_of_the_best_passage_token() -> None:
    rng = np.random.default_rng(0)
    query = token_rows(rng, 5)
    passages = [token_rows(rng, count) for count in (1, 7, 3, 40)]

    scores = maxsim(query, [rows.tobytes() for rows in passages])

    assert scores == pytest.approx(by_definition(query, passages), abs=1e-5)


def test_a_passage_that_holds_the_query_scores_about_one() -> None:
    rng = np.random.default_rng(1)
    query = token_rows(rng, 4)
    holder = np.concatenate([token_rows(rng, 3), query, token_rows(rng, 3)])

    scores = maxsim(query, [token_rows(rng, 6).tobytes(), holder.tobytes()])

    assert scores[1] == pytest.approx(1.0, abs=0.02)
    assert scores[1] > scores[0]


def test_a_passage_without_token_vectors_scores_zero_and_moves_no_other() -> None:
    rng = np.random.default_rng(2)
    query, rows = token_rows(rng, 4), token_rows(rng, 6)

    alone = maxsim(query, [rows.tobytes()])
    between = maxsim(query, [b"", rows.tobytes(), b""])

    assert between.tolist() == [0.0, alone[0], 0.0]
    assert maxsim(query, [b"", b""]).tolist() == [0.0, 0.0]
