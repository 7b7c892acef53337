"""``POST /v1/rerank`` in the shape of Cohere's and Jina's clients, over a real deployment."""

from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.integration

QUERY = "How do I copy a directory with everything in it?"
DOCUMENTS = [
    "Return the number of days in a month.",
    "Recursively copy an entire directory tree to another place.",
    "Eggs are cheaper in spring.",
    "Move a file or directory to another location.",
]


async def rerank(http: httpx.AsyncClient, **body: object) -> dict[str, Any]:
    answer = await http.post("/v1/rerank", json={"query": QUERY, "documents": DOCUMENTS, **body})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_every_document_comes_back_best_first_with_a_relevance(
    http: httpx.AsyncClient,
) -> None:
    answer = await http.post(
        "/v1/rerank",
        json={"query": QUERY, "documents": DOCUMENTS},
        headers={"X-Request-ID": "rerank-1"},
    )

    ranked = answer.json()
    scores = [result["relevance_score"] for result in ranked["results"]]
    assert set(ranked) == {"id", "model", "results", "degraded"}
    assert (ranked["id"], ranked["model"], ranked["degraded"]) == ("rerank-1", "mlp-full@2", [])
    assert [result["index"] for result in ranked["results"]][:2] == [1, 3]
    assert sorted(result["index"] for result in ranked["results"]) == [0, 1, 2, 3]
    assert scores == sorted(scores, reverse=True)
    assert all(0.0 <= score <= 1.0 for score in scores)


async def test_top_n_keeps_the_best_and_texts_come_only_when_asked_for(
    http: httpx.AsyncClient,
) -> None:
    without = await rerank(http, top_n=2)
    with_texts = await rerank(http, top_n=1, return_documents=True)
    beyond = await rerank(http, top_n=50)

    assert [result["document"] for result in without["results"]] == [None, None]
    assert [result["document"] for result in with_texts["results"]] == [{"text": DOCUMENTS[1]}]
    assert len(beyond["results"]) == len(DOCUMENTS)


async def test_documents_may_be_objects_as_well_as_texts(http: httpx.AsyncClient) -> None:
    objects = await rerank(http, documents=[{"text": text} for text in DOCUMENTS])
    texts = await rerank(http)

    assert objects["results"] == texts["results"]


async def test_a_named_reranker_that_nobody_serves_leaves_the_retrieval_order_and_says_so(
    http: httpx.AsyncClient,
) -> None:
    ranked = await rerank(http, model="rerank-v3.5")

    assert ranked["degraded"] == ["rerank: no_workers"]
    assert ranked["model"] == "hybrid@1"
    assert ranked["results"][0]["index"] == 1


async def test_two_hundred_documents_are_ranked_and_one_more_is_refused(
    http: httpx.AsyncClient,
) -> None:
    filler = [f"Invoice number {number} was paid on time." for number in range(199)]
    full = await rerank(http, documents=[*filler, DOCUMENTS[1]], top_n=1)
    answer = await http.post(
        "/v1/rerank", json={"query": QUERY, "documents": [*filler, *DOCUMENTS[:2]]}
    )

    assert [result["index"] for result in full["results"]] == [199]
    assert answer.status_code == 422


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"query": "", "documents": ["a"]}, id="an empty query"),
        pytest.param({"query": "q", "documents": []}, id="no documents"),
        pytest.param({"query": "q", "documents": ["a", " "]}, id="a blank document"),
        pytest.param({"query": "q", "documents": ["a"], "top_n": 0}, id="none wanted"),
        pytest.param({"query": "q", "documents": ["a"], "model": "x" * 121}, id="an endless model"),
    ],
)
async def test_what_cannot_be_ranked_is_refused(
    http: httpx.AsyncClient, body: dict[str, object]
) -> None:
    answer = await http.post("/v1/rerank", json=body)

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
