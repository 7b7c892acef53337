"""No process writes what it was asked: texts, labels and tenants stay out of every log, errors included."""

import json

import httpx
import pytest

from tests.deployments import Deployment
from trimtab.client import Client
from trimtab.contracts.documents import Document
from trimtab.contracts.errors import RemoteError
from trimtab.telemetry.logs import ALLOWED

pytestmark = pytest.mark.integration

CANARY = "canarymelanochroa"
"""A word that stands in every text of this module and nowhere else."""


def posts() -> list[tuple[str, dict[str, object]]]:
    """Return one good and one bad request of each kind, each with the canary in every text."""
    text = f"what did {CANARY} say"
    return [
        ("/v1/search", {"text": text}),
        ("/v1/search", {"text": text, "collection": CANARY}),
        ("/v1/search", {"text": text, CANARY: 1}),
        ("/v1/map", {"output": text}),
        ("/v1/map", {"output": CANARY, "detector": "openai-moderation"}),
        ("/v1/map", {"output": text, "taxonomy": CANARY}),
        ("/v1/map/batch", {"requests": [{"output": text}, {"output": CANARY, "taxonomy": CANARY}]}),
        ("/v1/embeddings", {"model": "single_vector.minilm.384.v1", "input": [text, f"{text}!"]}),
        ("/v1/embeddings", {"model": CANARY, "input": text}),
        ("/v1/rerank", {"query": text, "documents": [text, CANARY]}),
        ("/v1/rerank", {"query": text, "documents": [text], "model": f"{CANARY}@1"}),
        (
            "/v1/documents",
            {
                "collection": "canaries",
                "documents": [
                    {"id": CANARY, "text": text, "title": text, "metadata": {"note": CANARY}},
                    {"id": f"{CANARY}-blank", "text": " ", "title": CANARY},
                ],
            },
        ),
    ]


async def test_no_log_of_any_process_holds_a_text(
    deployment: Deployment, http: httpx.AsyncClient, client: Client
) -> None:
    statuses = {
        (await http.post(route, json=body, headers={"X-Tenant-ID": CANARY})).status_code
        for route, body in posts()
    }
    await http.post("/v1/search", content=f'{{"text": "{CANARY}'.encode())
    reply = await client.put_documents("canaries", [Document(id="2", text=f"a {CANARY}")])
    await client.wait_searchable(reply.sequence)
    await client.search(CANARY, collection="canaries")
    with pytest.raises(RemoteError):
        await client.map(CANARY, taxonomy=CANARY)

    logs = {m.instance: m.log.read_text(errors="replace") for m in deployment.fleet.members}
    assert statuses == {200, 404, 422}
    assert [name for name, log in logs.items() if CANARY in log] == []
    assert "http" in logs["gateway-1"], "it does log its requests"


async def test_every_line_is_json_with_allowed_keys_and_names_its_worker(
    deployment: Deployment, http: httpx.AsyncClient
) -> None:
    await http.post("/v1/search", json={"text": "x"}, headers={"X-Request-ID": "logged-1"})

    lines = {
        member.instance: [json.loads(line) for line in member.log.read_text().splitlines()]
        for member in deployment.fleet.members
    }

    for instance, entries in lines.items():
        assert entries, instance
        assert {entry["instance"] for entry in entries} == {instance}
        assert all(set(entry) <= ALLOWED for entry in entries)
        assert not any("withheld" in entry for entry in entries)
    [logged] = [e for e in lines["gateway-1"] if e.get("request_id") == "logged-1"]
    assert (logged["event"], logged["endpoint"], logged["outcome"]) == ("http", "search", "ok")
