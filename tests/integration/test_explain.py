"""Why a search was answered as it was, over a real deployment: told, kept, read back, and never a text in it."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from services.reranker.features import names
from tests.deployments import Deployment
from tests.fleet import SERVICES, Fleet
from trimtab.bus.explanations import explanation_key
from trimtab.client import Client
from trimtab.contracts import subjects
from trimtab.contracts.errors import UnknownExplanation
from trimtab.contracts.explain import EXPLAINED, Explanation
from trimtab.control.assignment import role_of

pytestmark = pytest.mark.integration

ASKED = {"text": "copy a whole directory tree", "limit": 3, "explain": True}
CANARY = "zyxomancer-4711"
"""A word that stands in every text of a passage and of its query, and nowhere else."""

_TRIMTAB = Path(sys.executable).with_name("trimtab")


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    errors: str


async def trimtab(fleet: Fleet, *words: str) -> Said:
    process = await asyncio.create_subprocess_exec(
        _TRIMTAB,
        *words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "TRIMTAB_HOME": str(fleet.home), "TRIMTAB_NATS_URL": fleet.url},
    )
    out, errors = await process.communicate()
    return Said(process.returncode or 0, out.decode(), errors.decode())


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sampling(
    template: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Fleet]:
    """A deployment that keeps the explanation of every search; its tests put back what they switch."""
    fleet = Fleet(tmp_path_factory.mktemp("sampling"))
    fleet.adopt(template)
    fleet.server.start()
    try:
        await fleet.start(*SERVICES, explain_sample="1")
        yield fleet
    finally:
        fleet.close()


@pytest.fixture
async def producer(sampling: Fleet) -> AsyncIterator[Client]:
    async with Client.connect(sampling.url, name="test") as connected:
        yield connected


async def kept(client: Client, request_id: str, tenant: str = "public") -> Explanation:
    """Return the explanation of a request of the sample once it is stored."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await client.explanation(request_id, tenant=tenant)
            except UnknownExplanation:
                await asyncio.sleep(0.02)


async def steer(fleet: Fleet, *words: str) -> None:
    said = await trimtab(fleet, *words, "--reason", "this test", "--wait", "60")
    assert said.code == 0, f"{words}: {said.out} {said.errors}"


# --- who asks is told ---


async def test_a_search_that_asks_is_told_everything_that_decided_its_order(
    http: httpx.AsyncClient,
) -> None:
    answer = await http.post("/v1/search", json=ASKED, headers={"X-Request-ID": "explain-1"})

    reply: dict[str, Any] = answer.json()
    told = reply["explanation"]
    assert answer.status_code == 200
    assert (told["request_id"], told["tenant"], told["asked"]) == ("explain-1", "public", True)
    assert (told["release"], told["role"]) == ("base", "stable")
    assert 0 <= told["bucket"] < 10_000
    assert told["revision"] >= 1
    assert told["index"] == reply["versions"]["index"]
    assert told["search"]["kind"] == "flat"
    assert told["search"]["exact"]
    assert {"dense", "lexical", "passages", "signals"} <= set(told["search"]["took_ms"])
    assert (told["impl"], told["fallback"], told["degraded"]) == ("last_vec", None, [])
    assert told["versions"] == reply["versions"]
    assert told["instances"] == {
        "encode": "encoder-1",
        "retrieve": "retriever-1",
        "rerank": "reranker-1",
    }
    assert told["timing_ms"] == reply["timing_ms"]
    assert [each["id"] for each in told["top"][:3]] == [each["id"] for each in reply["results"]]
    assert [each["score"] for each in told["top"][:3]] == [
        each["score"] for each in reply["results"]
    ]


async def test_the_best_five_have_the_rerankers_features_and_the_pool_its_cosines(
    client: Client,
) -> None:
    reply = await client.search("copy a whole directory tree", limit=3, explain=True)

    told = reply.explanation
    assert told is not None
    assert len(told.top) == EXPLAINED
    assert len(told.pool) == 50
    assert sorted(each.rank for each in told.pool) == list(range(1, 51))
    assert [each.rank_before for each in told.pool] == list(range(1, 51))
    by_id = {each.id: each for each in told.pool}
    for each in told.top:
        assert tuple(each.features) == names("full")
        assert each.features["cosine"] == pytest.approx(each.cosine, abs=1e-6)
        nearest = max(other.cosine for other in told.pool)
        assert each.features["margin"] == pytest.approx(each.cosine - nearest, abs=1e-6)
        assert (each.rank, each.rank_before) == (by_id[each.id].rank, by_id[each.id].rank_before)
        module = each.id.partition(".")[0]
        assert each.same_article == sum(
            other.id != each.id and other.id.partition(".")[0] == module for other in told.pool
        )


async def test_a_search_that_does_not_ask_is_told_nothing(
    http: httpx.AsyncClient, client: Client
) -> None:
    over_http = await http.post("/v1/search", json={"text": "read a file"})
    over_nats = await client.search("read a file")

    assert "explanation" not in over_http.json()
    assert over_nats.explanation is None


async def test_what_was_asked_for_is_kept_for_its_tenant_alone(client: Client) -> None:
    reply = await client.search("read a file", explain=True, tenant="acme")

    assert await client.explanation(reply.request_id, tenant="acme") == reply.explanation
    with pytest.raises(UnknownExplanation, match="another tenant's"):
        await client.explanation(reply.request_id, tenant="globex")


async def test_two_tenants_may_use_the_same_request_id(
    http: httpx.AsyncClient, client: Client
) -> None:
    for tenant in ("acme", "globex"):
        headers = {"X-Request-ID": "same.id", "X-Tenant-ID": tenant}
        await http.post("/v1/search", json=ASKED, headers=headers)

    found = [await client.explanation("same.id", tenant=tenant) for tenant in ("acme", "globex")]

    assert [each.tenant for each in found] == ["acme", "globex"]


# --- the commands ---


async def test_the_commands_show_it_as_a_table_and_as_json(deployment: Deployment) -> None:
    fleet = deployment.fleet

    searched = await trimtab(fleet, "search", ASKED["text"], "--explain", "--json")  # type: ignore[arg-type]
    shown = await trimtab(fleet, "search", ASKED["text"], "--explain")  # type: ignore[arg-type]
    reply = json.loads(searched.out)
    read = await trimtab(fleet, "explain", reply["request_id"], "--json")
    table = await trimtab(fleet, "explain", reply["request_id"])

    assert [each.code for each in (searched, shown, read, table)] == [0, 0, 0, 0]
    assert json.loads(read.out) == reply["explanation"]
    for text in (shown.out, table.out):
        assert "every visible passage compared" in text
        assert "rerank mlp-full@2 on reranker-1" in text
        assert "shutil.copytree" in text
        assert "bm25_level" in text
        assert "cosines of all 50" in text


async def test_a_request_that_nobody_kept_ends_with_1_and_says_how_to_keep_one(
    deployment: Deployment,
) -> None:
    said = await trimtab(deployment.fleet, "explain", "never-asked", "--json")

    assert said.code == 1
    assert json.loads(said.out)["error"]["name"] == "UnknownExplanation"
    assert "not in the sample" in said.errors
    assert "search with --explain" in said.errors


# --- the sample ---


async def test_an_ordinary_search_of_the_sample_is_kept_and_not_told(producer: Client) -> None:
    reply = await producer.search("copy a whole directory tree", limit=3)

    explanation = await kept(producer, reply.request_id)

    assert reply.explanation is None
    assert not explanation.asked
    assert [each.id for each in explanation.top[:3]] == [each.id for each in reply.results]
    assert [each.features for each in explanation.top] != [{}] * EXPLAINED


async def test_no_text_of_passages_or_queries_ever_reaches_the_stream(
    sampling: Fleet, producer: Client
) -> None:
    api = await sampling.api()
    body = {
        "collection": "secrets",
        "documents": [
            {
                "id": f"note-{number}",
                "text": f"{CANARY} text {number}",
                "title": f"{CANARY} title",
                "article": f"{CANARY} article",
                "metadata": {"key": CANARY},
            }
            for number in range(6)
        ],
    }
    query = {
        "text": f"what is {CANARY}",
        "context": [f"{CANARY} before"],
        "collection": "secrets",
        "explain": True,
    }
    owner = {"X-Tenant-ID": "acme"}
    async with httpx.AsyncClient(base_url=api, timeout=60, trust_env=False) as http:
        stored = await http.post("/v1/documents", json=body, headers=owner)
        await producer.wait_searchable(stored.json()["sequence"], timeout_s=60)
        asked = await http.post("/v1/search", json=query, headers=owner)
        unasked = await http.post("/v1/search", json={**query, "explain": False}, headers=owner)
    await kept(producer, unasked.json()["request_id"], "acme")

    raw = await everything(producer)

    answered = asked.json()
    assert CANARY in answered["results"][0]["text"]
    assert CANARY not in json.dumps(answered["explanation"])
    for reply in (answered, unasked.json()):
        key = explanation_key(reply["request_id"], "acme")
        assert b"note-" in raw[subjects.explanation(key)]  # what is there is the ids
    assert not any(CANARY.encode() in message for message in raw.values())


async def everything(client: Client) -> dict[str, bytes]:
    """Return every message of the stream by its subject."""
    js = client.connection.jetstream(timeout=10)
    state = (await js.stream_info(subjects.EXPLAIN_STREAM)).state
    found = {}
    for sequence in range(state.first_seq, state.last_seq + 1):
        message = await js.get_msg(subjects.EXPLAIN_STREAM, sequence)
        found[message.subject or ""] = message.data or b""
    return found


async def test_a_search_without_the_reranker_says_so_and_has_no_features(
    sampling: Fleet, producer: Client
) -> None:
    await steer(sampling, "kill", "reranker=off")
    try:
        reply = await producer.search("copy a whole directory tree", explain=True)
    finally:
        await steer(sampling, "restore", "reranker")

    told = reply.explanation
    assert told is not None
    assert told.degraded == reply.degraded == ["rerank: disabled"]
    assert "rerank" not in told.versions
    assert "rerank" not in told.instances
    assert [each.rank for each in told.top] == [each.rank_before for each in told.top]
    assert {(each.score, len(each.features)) for each in told.top} == {(None, 0)}


async def test_each_arm_of_a_canary_is_told_with_the_bucket_that_decided_it(
    sampling: Fleet, producer: Client
) -> None:
    await steer(sampling, "release", "create", "plain", "--rerank", "mlp-runbook4@1")
    await steer(sampling, "canary", "start", "plain", "--weight", "30", "--force")
    try:
        arms = await by_role(producer, {"stable", "canary", "control"})
    finally:
        await steer(sampling, "canary", "abort")

    for role, told in arms.items():
        assert role_of(told.bucket, 3_000).value == role
        assert told.release == ("plain" if role == "canary" else "base")
    assert tuple(arms["canary"].top[0].features) == names("runbook4")
    assert tuple(arms["control"].top[0].features) == names("full")
    assert arms["canary"].versions["rerank"] == "mlp-runbook4@1"


async def by_role(client: Client, roles: set[str]) -> dict[str, Explanation]:
    """Search until every role has answered; the canary gets requests once its lease is there."""
    found: dict[str, Explanation] = {}
    async with asyncio.timeout(60):
        while set(found) != roles:
            told = (await client.search("copy a tree", explain=True)).explanation
            assert told is not None
            found[told.role] = told
    return found
