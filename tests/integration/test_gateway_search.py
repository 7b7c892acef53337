"""``POST /v1/search`` over a real deployment: the JSON that scripts rely on, and who may see what."""

import httpx
import pytest

from tests.deployments import Deployment
from trimtab.client import Client

pytestmark = pytest.mark.integration

TREE = {"text": "copy a whole directory tree", "limit": 5}


async def test_a_search_answers_with_the_documented_json(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/search", json=TREE, headers={"X-Request-ID": "search-1"})

    found = answer.json()
    assert answer.status_code == 200
    assert set(found) == {"request_id", "release", "results", "timing_ms", "versions", "degraded"}
    assert (found["request_id"], found["release"], found["degraded"]) == ("search-1", "base", [])
    assert set(found["results"][0]) == {"id", "score", "title", "text", "article", "metadata"}
    assert set(found["timing_ms"]) == {"encode", "retrieve", "rerank", "total"}
    assert found["versions"] | {"index": ""} == {
        "encode": "minilm-int8@1",
        "retrieve": "hybrid@1",
        "rerank": "mlp-full@2",
        "index": "",
    }
    assert found["versions"]["index"].startswith("stdlib@")


async def test_the_best_passage_comes_first_with_falling_scores(
    http: httpx.AsyncClient, deployment: Deployment
) -> None:
    results = (await http.post("/v1/search", json=TREE)).json()["results"]

    scores = [result["score"] for result in results]
    [stored] = [passage for passage in deployment.passages if passage.id == "shutil.copytree"]
    assert results[0]["id"] == "shutil.copytree"
    assert results[0]["text"] == stored.text
    assert results[0]["metadata"] == stored.metadata
    assert scores == sorted(scores, reverse=True)
    assert all(0.0 <= score <= 1.0 for score in scores)


@pytest.mark.parametrize("limit", [1, 7, 100])
async def test_as_many_results_come_as_were_asked_for(http: httpx.AsyncClient, limit: int) -> None:
    answer = await http.post("/v1/search", json={"text": "read a file", "limit": limit})

    ids = [result["id"] for result in answer.json()["results"]]
    assert len(ids) == len(set(ids)) == limit


async def test_http_and_nats_give_the_same_answer(http: httpx.AsyncClient, client: Client) -> None:
    over_http = (await http.post("/v1/search", json=TREE)).json()["results"]
    over_nats = await client.search("copy a whole directory tree", limit=5)

    assert [(r["id"], r["score"]) for r in over_http] == [
        (r.id, r.score) for r in over_nats.results
    ]


async def test_a_collection_that_nobody_made_is_not_found(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/search", json={"text": "x", "collection": "never-made"})

    assert answer.status_code == 404
    assert answer.json()["title"] == "UnknownCollection"
    assert "trimtab ingest" in answer.json()["detail"]


async def test_a_tenant_finds_its_own_passages_and_the_public_ones_and_no_others(
    http: httpx.AsyncClient, client: Client
) -> None:
    collection = "tenants-of-search"
    text = "The annual picnic is on the first Sunday of June."
    stored = [
        await http.post(
            "/v1/documents",
            json={"collection": collection, "documents": [{"id": owner, "text": text}]},
            headers={"X-Tenant-ID": owner},
        )
        for owner in ("acme", "globex", "public")
    ]
    await client.wait_searchable(max(answer.json()["sequence"] for answer in stored))

    seen = {}
    for tenant in ("acme", "globex", "initech", "public"):
        answer = await http.post(
            "/v1/search",
            json={"text": "when is the picnic", "collection": collection},
            headers={"X-Tenant-ID": tenant},
        )
        seen[tenant] = {result["id"] for result in answer.json()["results"]}

    assert seen == {
        "acme": {"acme", "public"},
        "globex": {"globex", "public"},
        "initech": {"public"},
        "public": {"public"},
    }


async def test_a_tenants_passage_is_replaced_by_that_tenant_alone(
    http: httpx.AsyncClient, client: Client
) -> None:
    collection = "same-ids"

    async def put(tenant: str, text: str) -> int:
        body = {"collection": collection, "documents": [{"id": "note", "text": text}]}
        answer = await http.post("/v1/documents", json=body, headers={"X-Tenant-ID": tenant})
        sequence: int = answer.json()["sequence"]
        return sequence

    await put("acme", "The door code is written on the fridge.")
    await client.wait_searchable(await put("globex", "The door has no code."))
    found = await client.search("door code", collection=collection, tenant="acme")

    assert [result.text for result in found.results] == ["The door code is written on the fridge."]
