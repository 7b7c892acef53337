"""Fusion of the dense and the lexical score."""

from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.retriever.fusion import LegScores, best_first, blend, fuse, reciprocal_ranks
from services.retriever.plan import FusionPlan, Leg

COSINE = np.array([0.9, 0.5, 0.1], dtype=np.float32)
BM25 = np.array([0.0, 8.0, 4.0], dtype=np.float32)


def test_blend_adds_the_weighted_share_of_the_best_bm25() -> None:
    assert blend(COSINE, BM25, 0.4).tolist() == pytest.approx([0.9, 0.9, 0.3])


def test_blend_without_any_term_is_the_cosine() -> None:
    assert blend(COSINE, np.zeros(3, dtype=np.float32), 0.4).tolist() == COSINE.tolist()


def test_reciprocal_ranks_add_both_orders_and_skip_candidates_without_terms() -> None:
    fused = reciprocal_ranks(COSINE, BM25, 10.0)

    assert fused.tolist() == pytest.approx([1 / 11, 1 / 12 + 1 / 11, 1 / 13 + 1 / 12])


@pytest.mark.parametrize("method", ["blend", "rrf"])
def test_plan_chooses_the_method(method: str) -> None:
    plan = FusionPlan(method=method, lexical_weight=0.4, rrf_k=10.0, depth=50)  # type: ignore[arg-type]
    expected = (
        blend(COSINE, BM25, 0.4) if method == "blend" else reciprocal_ranks(COSINE, BM25, 10.0)
    )

    assert fuse(LegScores(COSINE, BM25), plan).tolist() == expected.tolist()


def test_best_first_breaks_ties_by_position() -> None:
    scores = np.array([0.5, 0.7, 0.7, 0.1], dtype=np.float32)

    assert best_first(scores, 3).tolist() == [1, 2, 0]


@given(
    st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 50)), min_size=1, max_size=40),
    st.sampled_from(["blend", "rrf"]),
)
def test_a_candidate_better_in_both_scores_never_ranks_lower(
    pairs: list[tuple[float, float]], method: str
) -> None:
    cosine = np.array([pair[0] for pair in pairs], dtype=np.float32)
    bm25 = np.array([pair[1] for pair in pairs], dtype=np.float32)
    plan = FusionPlan(method=method, lexical_weight=0.4, rrf_k=10.0, depth=50)  # type: ignore[arg-type]

    fused = fuse(LegScores(cosine, bm25), plan)

    for i in range(len(pairs)):
        for j in range(len(pairs)):
            if cosine[i] > cosine[j] and bm25[i] > bm25[j]:
                assert fused[i] >= fused[j]


def test_no_candidates_fuse_to_nothing() -> None:
    nothing = np.empty(0, dtype=np.float32)

    assert blend(nothing, nothing, 0.4).size == 0
    assert best_first(nothing, 10).size == 0


SPARSE = np.array([1.0, 0.0, 4.0], dtype=np.float32)
ALL: tuple[Leg, ...] = ("dense", "words", "sparse")


def _plan(method: Literal["blend", "rrf"]) -> FusionPlan:
    return FusionPlan(method=method, lexical_weight=0.4, sparse_weight=0.8, rrf_k=10.0, depth=50)


def test_a_third_leg_is_added_like_the_second() -> None:
    scores = LegScores(COSINE, BM25, SPARSE)

    blended = fuse(scores, _plan("blend"), ALL)
    ranked = fuse(scores, _plan("rrf"), ALL)

    assert blended.tolist() == pytest.approx([0.9 + 0.2, 0.5 + 0.4, 0.1 + 0.2 + 0.8])
    expected = [1 / 11 + 1 / 12, 1 / 12 + 1 / 11, 1 / 13 + 1 / 12 + 1 / 11]
    assert ranked.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("method", ["blend", "rrf"])
def test_a_leg_that_is_left_out_counts_nothing(method: Literal["blend", "rrf"]) -> None:
    scores = LegScores(COSINE, BM25, SPARSE)

    alone = fuse(scores, _plan(method), ALL[2:])
    without = fuse(LegScores(COSINE, BM25), _plan(method), ALL)

    assert best_first(alone, 2).tolist() == [2, 0]
    assert alone[1] == 0.0
    assert without.tolist() == fuse(scores, _plan(method), ("dense", "words")).tolist()
