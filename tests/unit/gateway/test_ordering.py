"""The final order is the reranker's; without one the retrieval order stands, and the ranking says why."""

import pytest

from services.gateway.ordering import rank
from tests.unit.gateway.searches import Reranker, found, stages
from trimtab.contracts.errors import NoWorkers


async def test_the_rerankers_order_and_scores_are_taken_over() -> None:
    pool = found(4)

    ranking = await rank(stages(Reranker()), pool)

    assert [(hit.id, score) for hit, score in ranking.hits(pool)] == [
        ("p3", 0.8),
        ("p2", 0.6),
        ("p1", 0.4),
        ("p0", 0.2),
    ]
    assert (ranking.reranked, ranking.degraded, ranking.features) == (True, [], None)


async def test_feature_values_are_asked_for_only_by_who_wants_them() -> None:
    reranker = Reranker()

    without = await rank(stages(reranker), found(4))
    told = await rank(stages(reranker), found(4), features_of=3)

    assert [asked.features_of for asked in reranker.asked] == [0, 3]
    assert without.features is None
    assert told.features is not None
    assert told.features.positions == [3, 2, 1]


async def test_a_reranker_that_fails_leaves_the_retrieval_order_and_its_scores() -> None:
    pool = found(3)

    ranking = await rank(stages(Reranker(NoWorkers("rerank"))), pool)

    assert [hit.id for hit, _ in ranking.hits(pool)] == ["p0", "p1", "p2"]
    assert ranking.scores == pytest.approx([1.9, 1.5, 1.1])
    assert (ranking.reranked, ranking.degraded) == (False, ["rerank: no_workers"])


async def test_an_empty_pool_is_ranked_without_asking() -> None:
    reranker = Reranker()

    ranking = await rank(stages(reranker), found(0))

    assert (ranking.order, ranking.degraded, reranker.asked) == ([], [], [])
