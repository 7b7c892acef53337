"""``/health``, ``/ready``, ``/metrics`` and ``/metrics/summary`` of a real deployment."""

import asyncio

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.deployments import Deployment
from tests.fleet import SERVICES
from trimtab.client import Client
from trimtab.contracts.component import STAGES

pytestmark = pytest.mark.integration

RELEASE = {
    "encode": "minilm-int8@1",
    "retrieve": "hybrid@1",
    "rerank": "mlp-full@2",
    "map": "safety-head@1",
}


async def test_health_tells_of_every_service_with_its_versions(
    http: httpx.AsyncClient, client: Client
) -> None:
    answer = await http.get("/health")

    health = answer.json()
    assert (answer.status_code, health["status"], health["missing"]) == (200, "healthy", [])
    assert set(health["services"]) == set(SERVICES)
    assert (health["release"], health["components"]) == ("base", RELEASE)
    assert health["revision"] >= 1
    for stage, service in STAGES.items():
        [worker] = health["services"][service]
        assert worker["readiness"] == "ready"
        assert worker["version"] == health["version"] == (await client.health())[0].version
        assert len(worker["components"][RELEASE[stage]]) == 64, "the content's sha256"


async def test_health_counts_the_passages_that_can_be_found(
    http: httpx.AsyncClient, deployment: Deployment
) -> None:
    health = (await http.get("/health")).json()

    [retriever] = health["services"]["retriever"]
    assert health["index_size"] == retriever["facts"]["passages"] >= len(deployment.passages)
    assert health["collections"]["stdlib"] >= len(deployment.passages)


async def test_a_ready_gateway_says_so(http: httpx.AsyncClient) -> None:
    answer = await http.get("/ready")

    assert (answer.status_code, answer.json()) == (200, {"ready": True})


async def test_metrics_count_a_request_once_by_its_outcome(http: httpx.AsyncClient) -> None:
    async def searches() -> dict[str, float]:
        text = (await http.get("/metrics")).text
        return {
            sample.labels["outcome"]: sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "trimtab_requests_total"
            and sample.labels["endpoint"] == "http_search"
        }

    before = await searches()
    await http.post("/v1/search", json={"text": "x"})
    await http.post("/v1/search", json={"text": "x", "collection": "never-made"})
    after = await searches()

    grown = {name: after[name] - before.get(name, 0.0) for name in after}
    assert {name: by for name, by in grown.items() if by} == {"ok": 1.0, "not_found": 1.0}


async def test_the_summary_holds_the_same_numbers_as_json(http: httpx.AsyncClient) -> None:
    await http.post("/v1/search", json={"text": "x"})

    summary = (await http.get("/metrics/summary")).json()

    assert set(summary) == {"counters", "gauges", "histograms", "timestamp"}
    [searches] = [
        each
        for labels, each in summary["histograms"]["trimtab_request_duration_seconds"].items()
        if "endpoint=http_search" in labels
    ]
    assert set(searches) == {"count", "sum", "avg", "p50", "p95", "p99"}
    assert 0 < searches["p50"] <= searches["p95"] <= searches["p99"]


async def test_the_documentation_is_served(http: httpx.AsyncClient) -> None:
    page, schema = await http.get("/docs"), (await http.get("/openapi.json")).json()

    assert page.status_code == 200
    assert {"/v1/search", "/v1/map", "/v1/map/batch", "/v1/embeddings", "/v1/rerank",
            "/v1/documents", "/v1/documents/delete", "/v1/collections/{collection}/documents/{id}",
            "/v1/feedback", "/v1/jobs", "/v1/jobs/{id}", "/health", "/ready", "/metrics", "/metrics/summary"} == set(schema["paths"])  # fmt: skip


async def test_searches_count_in_the_budgets_of_the_gateway_and_of_the_stages_without_a_canary(
    http: httpx.AsyncClient, client: Client
) -> None:
    known: set[str] = set()
    async with asyncio.timeout(120):
        while not {"retrieve", "errors"} <= known:  # from 50 requests on
            await http.post("/v1/search", json={"text": "x"})
            known = {each.objective for each in (await client.status()).budgets if each.burn}

    assert known >= {"retrieve", "errors"}


async def test_the_controller_sees_every_worker_that_health_names(client: Client) -> None:
    status = await client.status()
    samples = await client.health()

    assert {worker.instance for worker in status.workers} >= {s.instance for s in samples}
    assert {worker.service for worker in status.workers} == set(SERVICES)
    assert not any(worker.silent for worker in status.workers)
