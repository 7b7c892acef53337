"""An explanation is what the stages said, in numbers; no text comes with it."""

import msgspec
import pytest

from services.gateway.explanation import explain
from services.gateway.ordering import rank
from services.gateway.reply import search_reply
from tests.unit.gateway.searches import SECRET, Reranker, found, stages
from trimtab.contracts.errors import NoWorkers
from trimtab.contracts.explain import EXPLAINED, Explanation
from trimtab.contracts.message import encode


async def explained(count: int, reranker: Reranker | None = None, **pool: bool) -> Explanation:
    """The explanation of a search that found ``count`` passages and wanted two."""
    under_test, retrieved = stages(reranker or Reranker()), found(count, **pool)
    ranking = await rank(under_test, retrieved, features_of=EXPLAINED)
    reply = search_reply(under_test, retrieved, ranking, limit=2)
    return explain(reply, retrieved, ranking, under_test, asked=True)


async def test_places_before_and_after_and_the_cosines_of_the_whole_pool_are_told() -> None:
    told = await explained(8)

    assert [(each.id, each.rank_before, each.rank) for each in told.pool] == [
        (f"p{position}", position + 1, 8 - position) for position in range(8)
    ]
    cosines = [each.cosine for each in told.pool]
    assert cosines == pytest.approx([0.9 - 0.8 * position / 7 for position in range(8)], abs=1e-6)


async def test_the_best_five_are_told_whole_however_few_were_wanted() -> None:
    told = await explained(8)

    assert [(each.id, each.rank, each.rank_before) for each in told.top] == [
        (f"p{7 - place}", place + 1, 8 - place) for place in range(5)
    ]
    first, second = told.top[:2]
    assert first.cosine == pytest.approx(0.1, abs=1e-6)
    assert (first.margin, first.score_margin) == (0.0, 0.0)
    assert second.margin == pytest.approx(second.cosine - first.cosine)
    assert second.margin > 0  # nearer, yet behind
    assert second.score_margin == pytest.approx(7 / 9 - 8 / 9)
    assert second.fused == pytest.approx(second.cosine + 1, abs=1e-6)
    assert second.bm25 == pytest.approx(second.cosine * 10, abs=1e-5)
    assert second.maxsim == pytest.approx(second.cosine)
    assert second.features == {"cosine": 6.0, "margin": -6.0}


async def test_others_of_the_same_article_are_counted_in_the_pool() -> None:
    told = await explained(7)

    assert {each.id: each.same_article for each in told.top} == {
        "p6": 0,  # seven passages, two to an article: it is alone
        "p5": 1,
        "p4": 1,
        "p3": 1,
        "p2": 1,
    }


async def test_a_pool_smaller_than_five_is_told_whole() -> None:
    assert [each.id for each in (await explained(2)).top] == ["p1", "p0"]


async def test_a_search_that_found_nothing_is_explained_too() -> None:
    told = await explained(0)

    assert (told.pool, told.top) == ([], [])
    assert told.search is not None
    assert told.release == "next"


async def test_who_served_it_and_how_it_was_searched_is_told() -> None:
    told = await explained(3)

    assert (told.request_id, told.tenant, told.collection, told.index) == (
        "r-1",
        "acme",
        "docs",
        "docs@42",
    )
    assert (told.release, told.role, told.bucket, told.revision) == ("next", "canary", 17, 9)
    assert told.versions == {
        "encode": "minilm@1",
        "retrieve": "hybrid@1",
        "index": "docs@42",
        "rerank": "mlp@1",
    }
    assert told.instances == {"rerank": "reranker-1"}
    assert told.search is not None
    assert (told.search.kind, told.search.nprobe, told.search.visited) == ("ivf", 8, 32)
    assert set(told.timing_ms) == {"rerank", "total"}


async def test_without_a_reranker_nothing_is_made_up() -> None:
    told = await explained(4, Reranker(NoWorkers("rerank")))

    assert told.degraded == ["rerank: no_workers"]
    assert "rerank" not in told.versions
    assert [(each.rank, each.rank_before) for each in told.top] == [(n, n) for n in range(1, 5)]
    assert {(each.score, each.score_margin, len(each.features)) for each in told.top} == {
        (None, None, 0)
    }


async def test_without_token_vectors_there_is_no_maxsim() -> None:
    told = await explained(4, tokens=False)

    assert {each.maxsim for each in told.top} == {None}


async def test_the_learned_sparse_score_is_told_where_there_is_one() -> None:
    with_one, without = await explained(4, sparse=True), await explained(4)

    assert [each.sparse for each in with_one.top] == pytest.approx(
        [each.cosine * 20 for each in with_one.top], abs=1e-5
    )
    assert {each.sparse for each in without.top} == {None}


async def test_no_text_of_a_passage_is_in_it() -> None:
    told = await explained(8)

    assert SECRET.encode() not in encode(told)
    assert SECRET.encode() not in msgspec.json.encode(told)
