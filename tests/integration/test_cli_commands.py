"""Commands against a gateway of the test's own on a real server: exit codes, JSON, and what people read."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.workers import deployment, running
from trimtab.bus.local_server import LocalServer
from trimtab.bus.server import Endpoint
from trimtab.cli.app import build
from trimtab.contracts import subjects
from trimtab.contracts.documents import Document, PutDocuments, PutReply, Rejected
from trimtab.contracts.errors import UnknownCollection
from trimtab.contracts.headers import RequestContext
from trimtab.contracts.pipeline import SearchReply, SearchRequest, SearchResult
from trimtab.contracts.samples import Readiness, StatusReply, StatusRequest, WorkerStatus
from trimtab.worker.service import Worker
from trimtab.worker.settings import WorkerSettings

pytestmark = pytest.mark.integration


class Gateway:
    """Stores passages in a dict and finds them by their id; answers for the controller too."""

    def __init__(self) -> None:
        self.stored: dict[str, Document] = {}
        self.tenants: list[str] = []
        self.silent = False

    async def load(self, worker: Worker) -> None:
        worker.serve(Endpoint("search", subjects.SEARCH, SearchRequest, self.search))
        worker.serve(Endpoint("documents", subjects.DOCUMENTS, PutDocuments, self.put))
        worker.serve(Endpoint("status", subjects.STATUS, StatusRequest, self.status))
        worker.identity.facts["applied_sequence"] = 1_000

    async def search(self, request: SearchRequest, context: RequestContext) -> SearchReply:
        self.tenants.append(context.tenant)
        if request.collection != "docs":
            raise UnknownCollection(request.collection, ("docs",))
        hits = [d for d in self.stored.values() if request.text in d.text]
        return SearchReply(
            request_id=context.request_id,
            release="base",
            results=[
                SearchResult(
                    id=d.id, score=0.5, title=d.title, text=d.text, article="", metadata=d.metadata
                )
                for d in hits[: request.limit]
            ],
            timing_ms={"total": 1.0},
            versions={},
            degraded=["rerank: no_workers"],
        )

    async def put(self, request: PutDocuments, _context: RequestContext) -> PutReply:
        good = [d for d in request.documents if "forbidden" not in d.text]
        new = [d for d in good if self.stored.get(d.id) != d]
        self.stored |= {d.id: d for d in good}
        return PutReply(
            collection=request.collection,
            new=len(new),
            unchanged=len(good) - len(new),
            rejected=[
                Rejected(index=i, id=d.id, reason="not allowed here; leave it out")
                for i, d in enumerate(request.documents)
                if d not in good
            ],
            sequence=len(self.stored),
        )

    async def status(self, _request: StatusRequest, _context: RequestContext) -> StatusReply:
        worker = WorkerStatus(
            service="mapper",
            instance="mapper-1",
            version="0.1.0",
            readiness=Readiness.READY,
            reason="",
            components={},
            revision=1,
            age_s=9.0 if self.silent else 0.5,
            silent=self.silent,
            uptime_s=60.0,
            rss_bytes=1,
            requests=0,
            errors=0,
            p95_ms=None,
            facts={},
        )
        return StatusReply(at=1.0, workers=[worker], revision=1, release="base")


@pytest.fixture
async def gateway(
    nats_server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Gateway]:
    monkeypatch.setenv("TRIMTAB_HOME", str(tmp_path))
    monkeypatch.setenv("TRIMTAB_NATS_URL", nats_server.url)
    made = Gateway()
    # Named like a retriever, so that waiting for searchable passages finds somebody to ask.
    worker = Worker(
        "retriever", "test", deployment(nats_server, tmp_path), WorkerSettings(), made.load
    )
    async with running(worker):
        yield made


async def trimtab(*arguments: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, build(), list(arguments))


async def test_rows_are_ingested_bad_ones_are_named_and_a_second_time_changes_nothing(
    gateway: Gateway, tmp_path: Path
) -> None:
    path = tmp_path / "docs.jsonl"
    path.write_text(
        '{"id": "a", "text": "alpha", "title": "A", "metadata": {"n": 1}}\n'
        "{broken\n"
        '{"id": "b", "text": "forbidden"}\n'
        '{"id": "c", "text": "alpha too"}\n'
    )

    first = await trimtab("ingest", str(path), "--tenant", "acme", "--json")
    second = await trimtab("ingest", str(path), "--tenant", "acme")

    assert first.exit_code == 1
    report = json.loads(first.stdout)
    assert (report["collection"], report["new"], report["unchanged"]) == ("docs", 2, 0)
    assert [(bad["line"], bad["file"]) for bad in report["rejected"]] == [
        (2, str(path)),
        (3, str(path)),
    ]
    assert "not JSON" in report["rejected"][0]["reason"]
    assert report["rejected"][1]["reason"] == "not allowed here; leave it out"
    assert {document.tenant for document in gateway.stored.values()} == {"acme"}
    assert second.exit_code == 1
    assert "docs: 0 new, 2 unchanged, 2 rejected" in second.stdout
    assert f"{path}:2: not JSON" in second.stdout


async def test_a_clean_file_ends_with_0_and_an_empty_one_with_1(
    gateway: Gateway, tmp_path: Path
) -> None:
    (tmp_path / "one.md").write_text("# One\n\nFirst.\n\n## Two\n\nSecond.\n")
    (tmp_path / "empty.md").write_text("\n")

    clean = await trimtab("ingest", str(tmp_path / "one.md"), "--collection", "docs")
    empty = await trimtab("ingest", str(tmp_path / "empty.md"))

    assert clean.exit_code == 0, clean.output
    assert list(gateway.stored) == ["one.md#1", "one.md#2"]
    assert empty.exit_code == 1
    assert "hold no passages" in empty.stderr


async def test_search_prints_json_alone_on_stdout_and_what_was_left_out_on_stderr(
    gateway: Gateway,
) -> None:
    gateway.stored["a"] = Document(id="a", text="alpha [bold]", title="A [x]", metadata={"k": "v"})

    found = await trimtab(
        "search", "alpha", "--collection", "docs", "--tenant", "acme", "--limit", "3", "--json"
    )
    shown = await trimtab("search", "alpha", "--collection", "docs")

    assert found.exit_code == 0
    reply = json.loads(found.stdout)
    assert set(reply) == {"request_id", "release", "results", "timing_ms"}
    assert reply["results"] == [
        {"id": "a", "score": 0.5, "title": "A [x]", "text": "alpha [bold]", "metadata": {"k": "v"}}
    ]
    assert "degraded: rerank: no_workers" in found.stderr
    assert gateway.tenants == ["acme", "public"]
    assert "0.500  A [x]" in shown.stdout
    assert "alpha [bold]" in shown.stdout


async def test_an_unknown_collection_ends_with_1_and_the_command_that_makes_one(
    gateway: Gateway,
) -> None:
    result = await trimtab("search", "alpha", "--collection", "nowhere", "--json")

    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"]["name"] == "UnknownCollection"
    assert "unknown collection 'nowhere'" in result.stderr
    assert "trimtab ingest FILE --collection NAME" in result.stderr
    assert "Traceback" not in result.output


async def test_a_bus_without_the_service_ends_with_3(gateway: Gateway) -> None:
    result = await trimtab("map", "hate")

    assert result.exit_code == 3
    assert "no worker serves" in result.stderr


async def test_status_ends_with_1_when_a_worker_is_silent(gateway: Gateway) -> None:
    healthy = await trimtab("status", "--json")
    gateway.silent = True
    sick = await trimtab("status")

    assert healthy.exit_code == 0
    assert json.loads(healthy.stdout)["convergence"]["converged"] is True
    assert sick.exit_code == 1
    assert "NOT converged" in sick.stdout


async def test_doctor_names_every_service_that_nobody_runs(gateway: Gateway) -> None:
    result = await trimtab("doctor", "--json")

    assert result.exit_code == 1
    outcomes = {check["name"]: check["outcome"] for check in json.loads(result.stdout)["checks"]}
    assert outcomes["NATS"] == "ok"
    assert outcomes["JetStream"] == "ok"
    assert outcomes["service retriever"] == "ok"
    assert outcomes["service encoder"] == "failed"
    assert outcomes["streams and buckets"] == "failed"
