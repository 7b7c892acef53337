"""The formulas, each against a hand-made case or a slow loop, and what holds for all of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.reranker import features
from services.reranker.candidates import Candidates, from_signals
from services.reranker.features import FEATURE_SETS, Feature, names
from tests.unit.reranker.pools import candidates, drawn

SEEDS = pytest.mark.parametrize("seed", range(5))

GRAM = np.array(
    [
        [1.0, 0.5, 0.25, 0.75],
        [0.5, 1.0, -0.5, 0.0],
        [0.25, -0.5, 1.0, 0.125],
        [0.75, 0.0, 0.125, 1.0],
    ],
    dtype=np.float32,
)


def test_the_runbooks_set_is_its_four_features_in_its_order() -> None:
    assert names("runbook4") == ("cosine", "margin", "local_context", "diversity")


def test_the_full_set_begins_with_the_runbooks_and_repeats_nothing() -> None:
    full = names("full")

    assert full[:4] == names("runbook4")
    assert len(set(full)) == len(full)


def test_margin_is_the_distance_to_the_nearest_candidate() -> None:
    pool = candidates([3, 2, 1], cosine=[0.5, 0.75, 0.25])

    assert features.margin(pool).tolist() == [-0.25, 0.0, -0.5]


def test_local_context_weighs_the_share_of_the_same_article_by_similarity() -> None:
    pool = candidates([4, 3, 2, 1], gram=GRAM, articles=[7, 7, 8, 7])

    found = features.local_context(pool)

    assert found == pytest.approx([(0.5 + 0.75) / 3, 0.5 / 3, 0.0, 0.75 / 3])


def test_diversity_compares_only_with_what_is_ranked_above() -> None:
    pool = candidates([4, 3, 2, 1], gram=GRAM)

    assert features.diversity(pool) == pytest.approx([1.0, 0.5, 0.75, 0.25])


def test_diversity_follows_the_retrieval_order_not_the_order_sent() -> None:
    pool = candidates([1, 2, 3, 4], gram=GRAM)  # sent worst first: 3 is best, then 2, 1, 0

    assert features.diversity(pool) == pytest.approx([0.25, 1.0, 0.875, 1.0])


def test_an_opposite_passage_is_more_than_new() -> None:
    gram = np.array([[1.0, -0.5], [-0.5, 1.0]], dtype=np.float32)

    assert features.diversity(candidates([2, 1], gram=gram)).tolist() == [1.0, 1.5]


@SEEDS
def test_consensus_is_the_mean_similarity_to_the_five_best_others(seed: int) -> None:
    pool = from_signals(drawn(seed, 12))
    expected = []
    for each in range(pool.count):
        others = [other for other in pool.order.tolist() if other != each][:5]
        expected.append(np.mean([pool.gram[each, other] for other in others]))

    assert features.consensus(pool) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("count", [2, 3, 5, 6, 7])
def test_consensus_of_a_small_pool_takes_all_others_there_are(count: int) -> None:
    pool = from_signals(drawn(1, count))
    expected = []
    for each in range(count):
        others = [other for other in pool.order.tolist() if other != each][:5]
        expected.append(np.mean([pool.gram[each, other] for other in others]))

    assert features.consensus(pool) == pytest.approx(expected, abs=1e-6)


def test_article_support_is_the_best_other_candidate_of_the_article() -> None:
    pool = candidates([5, 4, 3, 1], articles=[1, 2, 1, 2])

    assert features.article_support(pool).tolist() == [0.5, 0.0, 1.0, 0.75]


def test_levels_do_not_depend_on_the_scale_of_the_scores() -> None:
    small, large = candidates([0.5, 0.25, 0.125]), candidates([500.0, 250.0, 125.0])

    assert features.fused_level(small).tolist() == features.fused_level(large).tolist()


def test_equal_fused_scores_have_one_level() -> None:
    assert features.fused_level(candidates([2, 2, 2])).tolist() == [1.0, 1.0, 1.0]


def test_ranks_are_reciprocal_and_ties_go_by_retrieval_order() -> None:
    pool = candidates([1, 2, 3], cosine=[0.5, 0.5, 0.9])

    assert features.fused_rank(pool) == pytest.approx([1 / 3, 1 / 2, 1])
    assert features.cosine_rank(pool) == pytest.approx([1 / 3, 1 / 2, 1])


def test_a_candidate_without_a_query_term_has_no_lexical_rank() -> None:
    pool = candidates([3, 2, 1], bm25=[0.0, 4.0, 2.0])

    assert features.bm25_rank(pool).tolist() == [0.0, 1.0, 0.5]
    assert features.bm25_level(pool).tolist() == [0.0, 1.0, 0.5]
    assert features.bm25_strength(pool) == pytest.approx([0.0, np.log(5.0), np.log(3.0)])


def test_words_that_occur_nowhere_give_zeros() -> None:
    pool = candidates([2, 1], bm25=[0.0, 0.0])

    assert features.bm25_level(pool).tolist() == [0.0, 0.0]
    assert features.bm25_rank(pool).tolist() == [0.0, 0.0]


def test_without_token_vectors_every_maxsim_feature_is_zero_and_the_flag_says_so() -> None:
    without, given_ = candidates([2, 1]), candidates([2, 1], maxsim=[0.5, 0.75])
    late: list[Feature] = [features.maxsim, features.maxsim_margin, features.maxsim_rank]

    assert [feature(without).tolist() for feature in late] == [[0.0, 0.0]] * 3
    assert features.has_maxsim(without).tolist() == [0.0, 0.0]
    assert features.maxsim_margin(given_).tolist() == [-0.25, 0.0]
    assert features.maxsim_rank(given_).tolist() == [0.5, 1.0]
    assert features.has_maxsim(given_).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("feature_set", FEATURE_SETS)
def test_one_candidate_alone_has_features(feature_set: features.FeatureSetName) -> None:
    found = features.matrix(candidates([1], maxsim=[0.5], cosine=[0.25]), feature_set)

    assert found.shape == (1, len(names(feature_set)))
    assert np.isfinite(found).all()


def permuted(pool: Candidates, seed: int) -> tuple[Candidates, np.ndarray]:
    order = np.random.default_rng(seed).permutation(pool.count)
    return (
        Candidates(
            fused=pool.fused[order],
            cosine=pool.cosine[order],
            bm25=pool.bm25[order],
            maxsim=None if pool.maxsim is None else pool.maxsim[order],
            session=None if pool.session is None else pool.session[order],
            gram=pool.gram[np.ix_(order, order)],
            articles=pool.articles[order],
            sound=pool.sound[order],
            order=np.argsort(-pool.fused[order], kind="stable"),
        ),
        order,
    )


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(1, 60),
    late=st.booleans(),
    asked=st.booleans(),
)
def test_features_are_finite_f32_and_do_not_depend_on_the_order_sent(
    seed: int, count: int, late: bool, asked: bool
) -> None:
    pool = from_signals(drawn(seed, count, with_maxsim=late, with_session=asked))
    shuffled, order = permuted(pool, seed)

    found, again = features.matrix(pool, "session"), features.matrix(shuffled, "session")

    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert again == pytest.approx(found[order], abs=1e-5)


def test_a_session_is_seen_as_level_distance_to_the_best_and_the_best_itself() -> None:
    pool = candidates([3, 2, 1], session=[0.25, 0.75, -0.5])

    assert features.session(pool).tolist() == [0.25, 0.75, -0.5]
    assert features.session_margin(pool).tolist() == [-0.5, 0.0, -1.25]
    assert features.session_support(pool).tolist() == [0.75] * 3
    assert features.has_session(pool).tolist() == [1.0] * 3


def test_without_a_session_every_feature_of_one_is_nothing_at_all() -> None:
    found = features.matrix(from_signals(drawn(3, 20)), "session")
    known = len(features.names("full"))

    assert features.names("session")[:known] == features.names("full")
    assert not found[:, known:].any()
