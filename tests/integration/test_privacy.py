"""What callers send stays where the design keeps it, and nowhere else: canaries through every path, then a search.

The design keeps texts in the passages (stream, retriever), in a job while it waits, in its result for a day, and in
the request of a dead letter. Logs, metrics, traces, samples, audit, status, explanations, letters and idempotency
entries hold none.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import msgspec
import pytest
import pytest_asyncio
from nats.aio.msg import Msg

from tests.drills.command_line import trimtab
from tests.fleet import SERVICES, Fleet
from tests.integration.trace_collector import Collector, collecting
from trimtab.audit.ledger import Ledger
from trimtab.client import Client
from trimtab.contracts import subjects
from trimtab.contracts.documents import Document
from trimtab.contracts.errors import TrimtabError
from trimtab.contracts.message import encode
from trimtab.contracts.pipeline import MapCall, SearchRequest

pytestmark = pytest.mark.integration

MARK = "canarymelanochroa"
"""In every canary and nowhere else; letters only, so that no encoding of ours changes it."""

TEXT = f"what did the {MARK}text say"
KEPT = {subjects.DOCS_STREAM, subjects.JOBS_STREAM, subjects.RESULTS_STREAM, subjects.DLQ_STREAM}
"""Streams in which the design keeps texts."""

WAIT_S = 90.0


@dataclass
class Remains:
    """Everything that was left behind, by where: what must not hold a canary, and what the design lets."""

    secret: str = ""
    seen: dict[str, bytes] = field(default_factory=dict)

    def keep(self, where: str, what: bytes) -> None:
        """Add to what was left in one place."""
        self.seen[where] = self.seen.get(where, b"") + what

    def holding(self, canary: str) -> list[str]:
        """Return where a canary is found."""
        return sorted(where for where, what in self.seen.items() if canary.encode() in what)


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """Where the fleet's traces go."""
    with collecting() as found:
        yield found


@pytest.fixture(scope="module")
def fleet_of_all(
    template: Path, tmp_path_factory: pytest.TempPathFactory, collector: Collector
) -> Iterator[Fleet]:
    """Every service, traced, with keys, keeping every explanation, and giving jobs up at once."""
    fleet = Fleet(tmp_path_factory.mktemp("private"))
    fleet.adopt(template)
    fleet.environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    fleet.deployment = {"log_level": "debug"}
    fleet.server.start()
    for service in SERVICES:
        settings = {
            "auth": "required",
            "explain_sample": "1",
            "feedback_share": "1",
            "job_tries": "1",
        }
        fleet.spawn(service, **(settings if service == "gateway" else {}))
    yield fleet
    fleet.close()


def posts() -> list[tuple[str, object]]:
    """Return good and bad requests of every route, a canary in everything that is a text."""
    label = {"output": f"{MARK}output", "detector": "openai-moderation"}
    document = {
        "id": "d1", "text": TEXT, "title": f"{MARK}title", "metadata": {"note": f"{MARK}meta", f"{MARK}field": "x"},
    }  # fmt: skip
    raw = {"output": f"{MARK}raw " * 200, "detector": "openai-moderation"}
    return [
        ("/v1/search", {"text": TEXT, "explain": True, "context": [TEXT], "session": f"{MARK}session"}),
        ("/v1/search", {"text": TEXT, "collection": "nobodys"}),
        ("/v1/search", {"text": TEXT, f"{MARK}unknown": TEXT}),
        ("/v1/search", {"text": TEXT, "limit": TEXT}),
        ("/v1/map", {"output": TEXT}),
        ("/v1/map", label),
        ("/v1/map", {**label, "detector": f"{MARK}detector"}),
        ("/v1/map", {**label, "taxonomy": f"{MARK}taxonomy"}),
        ("/v1/map", raw),
        ("/v1/map", {"output": f"{MARK}long" * 600}),
        ("/v1/map", {"output": f"{MARK}huge" * 20_000}),
        ("/v1/map/batch", {"requests": [{"output": TEXT}, label, raw]}),
        ("/v1/embeddings", {"model": "single_vector.minilm.384.v1", "input": [TEXT, f"{TEXT}!"]}),
        ("/v1/embeddings", {"model": f"{MARK}model", "input": TEXT}),
        ("/v1/rerank", {"query": TEXT, "documents": [TEXT, f"{MARK}document"]}),
        ("/v1/documents", {"collection": "private", "documents": [document]}),
        ("/v1/documents", {"collection": "private", "documents": [{**document, "text": " "}]}),
        ("/v1/documents/delete", {"collection": "private", "ids": [], "articles": [f"{MARK}article"]}),
        ("/v1/feedback", {"request_id": "private-1", "passage": "json.1"}),
        ("/v1/jobs", {"id": "web-map", "work": {"kind": "map", "request": {"output": TEXT}}}),
        ("/v1/jobs", {"id": "web-bad", "work": {"kind": "map", "request": {**label, "taxonomy": f"{MARK}job"}}}),
        ("/v1/jobs", {"id": "web-search", "work": {"kind": "search", "request": {"text": TEXT}}}),
        ("/v1/jobs", {"id": "web-ingest", "work": {"kind": "ingest", "request": {
            "collection": "private", "documents": [{**document, "id": "d2"}]}}}),
    ]  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def remains(fleet_of_all: Fleet, collector: Collector) -> AsyncIterator[Remains]:
    """Send every canary through every path, stop in order, and gather what was left."""
    fleet, left = fleet_of_all, Remains()
    await fleet.ready()
    made = await asyncio.to_thread(
        trimtab, fleet, "keys", "create", "--tenant", "acme", "--reason", "a test",
        "--scope", "search", "--scope", "map", "--scope", "embed", "--scope", "write",
    )  # fmt: skip
    key = str(made["key"])
    _, _, left.secret = key.split("_", 2)  # a secret may hold underscores itself
    async with Client.connect(fleet.url, name="cli") as client:

        async def hear(message: Msg) -> None:
            left.keep(f"event {'.'.join(message.subject.split('.')[:3])}", message.data)

        await client.connection.subscribe("trimtab.evt.>", cb=hear)
        await client.connection.subscribe("trimtab.ctl.>", cb=hear)
        statuses = await over_http(await fleet.api(), key)
        await over_nats(client)
        await said(client, left)
        await as_jobs(fleet, client)
        left.keep("statuses", json.dumps(sorted(statuses)).encode())
        await said(client, left)
    await asyncio.to_thread(fleet.close)
    written(fleet, left)
    left.keep("traces", b"".join(collector.received))
    yield left


async def over_http(api: str, key: str) -> set[int]:
    """Send every post, right and wrong keys, a body that is no JSON; return the statuses."""
    statuses = set()
    async with httpx.AsyncClient(base_url=api, timeout=60, trust_env=False) as http:
        for number, (route, body) in enumerate(posts()):
            headers = {
                "Authorization": f"Bearer {key}",
                "Idempotency-Key": f"{MARK}key{number}",
                "X-Request-ID": f"private-{number}",
            }
            for _ in range(2):
                statuses.add((await http.post(route, json=body, headers=headers)).status_code)
        conflict = await http.post(
            "/v1/map",
            json={"output": f"{MARK}other"},
            headers={"Authorization": f"Bearer {key}", "Idempotency-Key": f"{MARK}key4"},
        )
        guessed = await http.post(
            "/v1/map",
            json={"output": TEXT},
            headers={"Authorization": f"Bearer tt_0123456789ab_{MARK}secret"},
        )
        broken = await http.post(
            "/v1/map",
            content=f'{{"output": "{MARK}broken'.encode(),
            headers={"Authorization": f"Bearer {key}"},
        )
    assert (conflict.status_code, guessed.status_code, broken.status_code) == (409, 401, 422)
    return statuses


async def over_nats(client: Client) -> None:
    """Send good and bad requests over the bus, and bytes that are none."""
    reply = await client.put_documents("private", [Document(id="n1", text=TEXT)])
    await client.wait_searchable(reply.sequence, timeout_s=WAIT_S)
    await client.search(TEXT, collection="private", explain=True)
    await client.map(f"{MARK}output", detector="openai-moderation")
    for asked in (
        client.map(TEXT, taxonomy=f"{MARK}taxonomy"),
        client.map(f"{MARK}raw\n" * 9, detector="llama-guard"),
        client.search(f"{MARK} " * 400, collection="private"),
        client.map_batch([MapCall(output=TEXT), MapCall(output=TEXT, taxonomy=f"{MARK}x")]),
    ):
        with contextlib.suppress(TrimtabError):
            await asked
    for subject in (subjects.SEARCH, subjects.MAP_OUTPUT, subjects.DOCUMENTS):
        await client.connection.request(subject, f"{MARK}bytes".encode(), timeout=10)


async def as_jobs(fleet: Fleet, client: Client) -> None:
    """Have jobs done, failed and given up, with bytes that are no job among them."""
    done = await client.submit(SearchRequest(text=TEXT, collection="private"))
    failed = await client.submit(MapCall(output=TEXT, taxonomy=f"{MARK}job"))
    js = client.connection.jetstream()
    await js.publish(subjects.job("map", "normal", "ab"), f"{MARK}junk".encode())
    await fleet.stop("mapper")
    dead = await client.submit(MapCall(output=f"{MARK}dead", detector="openai-moderation"))
    for job in (done, failed, dead):
        assert (await client.wait(job, timeout_s=WAIT_S)).state != "pending"
    async with asyncio.timeout(WAIT_S):
        while await client.dead_letters.depth() < 2:
            await asyncio.sleep(0.05)


async def said(client: Client, left: Remains) -> None:
    """Gather what the running deployment says of itself."""
    samples = await client.health(window_s=1.0)
    async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
        for sample in samples:
            left.keep(f"health of {sample.service}", encode(sample))
            port = sample.facts["http_port"]
            for path in ("metrics", "health"):
                answer = await http.get(f"http://127.0.0.1:{port}/{path}")
                left.keep(f"/{path} of {sample.service}", answer.content)
            if "api_url" in sample.facts:
                for path in ("metrics", "metrics/summary", "health", "openapi.json"):
                    answer = await http.get(f"{sample.facts['api_url']}/{path}")
                    left.keep(f"/{path} over HTTP", answer.content)
    status = await client.status(timeout_s=20, every_alert=True)
    left.keep("status", encode(status))
    left.keep("discovery", (await client.connection.request("$SRV.STATS", timeout=5)).data)
    ledger = await Ledger.open(client.connection, "test")
    async for entry in ledger.entries():
        left.keep("audit", encode(entry))
    for letter in await client.dead_letters.oldest(100):
        left.keep("dead letters", encode(letter))
    for job in await client.jobs.oldest(100):
        left.keep("queue as listed", msgspec.json.encode({"id": job.id}))


def written(fleet: Fleet, left: Remains) -> None:
    """Gather what stands on disk: logs, every stream of the server, every file of the services."""
    for member in fleet.members:
        left.keep(f"log of {member.service}", member.log.read_bytes())
    store = fleet.folder / "nats"
    for path in store.rglob("*"):
        if path.is_file():
            parts = path.relative_to(store).parts
            stream = parts[parts.index("streams") + 1] if "streams" in parts else "server"
            left.keep(f"stream {stream}", path.read_bytes())
    for path in fleet.home.rglob("*"):
        if path.is_file():
            top = path.relative_to(fleet.home).parts[0]
            left.keep(f"home {top}", path.read_bytes())


@pytest.mark.asyncio(loop_scope="module")
async def test_no_canary_is_found_but_where_the_design_keeps_texts(remains: Remains) -> None:
    allowed = {f"stream {stream}" for stream in KEPT} | {"home retriever"}

    found = remains.holding(MARK)

    assert set(found) - allowed == set()
    # What is settled has left the queue, from its files too.
    kept = {f"stream {stream}" for stream in KEPT} - {f"stream {subjects.JOBS_STREAM}"}
    assert kept | {"home retriever"} <= set(found), "the search finds what is there"


@pytest.mark.asyncio(loop_scope="module")
async def test_neither_a_keys_secret_nor_an_idempotency_key_is_kept_anywhere(
    remains: Remains,
) -> None:
    assert len(remains.secret) > 20
    assert remains.holding(remains.secret) == []
    assert remains.holding(f"{MARK}key") == []
    assert remains.holding(f"{MARK}secret") == []


@pytest.mark.asyncio(loop_scope="module")
async def test_everything_that_was_to_be_searched_was_there(remains: Remains) -> None:
    places = set(remains.seen)

    assert {f"log of {service}" for service in SERVICES} <= places
    assert {f"/metrics of {service}" for service in SERVICES} <= places
    assert {"audit", "traces", "dead letters", "status", "event trimtab.evt.sample"} <= places
    assert f"stream {subjects.EXPLAIN_STREAM}" in places
    assert f"stream KV_{subjects.IDEMPOTENCY_BUCKET}" in places
    assert b"private-0" in remains.seen["traces"], "the requests were traced"
    assert b"private-0" in remains.seen[f"stream {subjects.EXPLAIN_STREAM}"]
    assert b"private-4" in remains.seen["log of gateway"]
    assert set(json.loads(remains.seen["statuses"])) == {200, 202, 404, 413, 422}
