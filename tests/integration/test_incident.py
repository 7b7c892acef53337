"""`trimtab incident write` after real rollbacks: what it says is what happened, and the audit says that it was written."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from nats.aio.client import Client as NatsClient

from tests.fleet import SERVICES, Fleet
from tests.integration.test_rollout import ended, ramping
from trimtab.audit.chain import verify
from trimtab.audit.incident import REVIEW_WITHIN_S
from trimtab.audit.ledger import Ledger
from trimtab.bus.local_server import LocalServer
from trimtab.client import Client
from trimtab.contracts.audit import AuditEntry
from trimtab.contracts.control import Phase

pytestmark = pytest.mark.integration

QUERY = "copy a whole directory tree"


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    json: Any
    errors: str


async def trimtab(url: str, home: Path, *words: str) -> Said:
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("trimtab"),
        *words,
        "--nats",
        url,
        "--json",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "TRIMTAB_HOME": str(home)},
    )
    out, errors = await process.communicate()
    return Said(process.returncode or 0, json.loads(out) if out else None, errors.decode())


def text_of(path: str) -> str:
    return Path(path).read_text()


async def audited(connection: NatsClient) -> list[AuditEntry]:
    ledger = await Ledger.open(connection, "auditor")
    return [entry async for entry in ledger.entries()]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def explaining(
    template: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Fleet]:
    """A deployment of every service that keeps the explanation of every search."""
    fleet = Fleet(tmp_path_factory.mktemp("incident"))
    fleet.adopt(template)
    fleet.server.start()
    try:
        await fleet.start(*SERVICES, explain_sample="1")
        yield fleet
    finally:
        fleet.close()


async def answered(fleet: Fleet, release: str) -> str:
    """Search until that release has answered and its explanation is kept; return the request's id."""
    async with Client.connect(fleet.url, name="test") as client, asyncio.timeout(60):
        while True:
            found = await client.search(QUERY, limit=3, explain=True)
            if found.release == release and "explain: not_kept" not in found.degraded:
                return found.request_id


async def test_a_release_that_is_rolled_back_by_hand_is_told_with_who_when_and_the_good_answer(
    explaining: Fleet, tmp_path: Path
) -> None:
    def run(*words: str) -> Any:
        return trimtab(explaining.url, explaining.home, *words)

    await run("release", "create", "plain", "--rerank", "none")
    by_bea = ("--actor", "bea", "--force", "--reason", "a | drill")
    await run("canary", "start", "plain", "--weight", "50", *by_bea)
    bad = await answered(explaining, "plain")
    back = await run("rollback", "--actor", "ana", "--reason", "worse")
    await answered(explaining, "base")
    write = ("incident", "write", "--actor", "ana", "--out", str(tmp_path), "--timeout", "60")
    told, again = await run(*write), await run(*write, "--title", "Second <look>")

    assert told.code == 0, told.errors
    assert (told.json["faulting"], told.json["replaced_by"]) == ("plain", "base")
    assert told.json["share_bp"] == 5000
    times = told.json["times"]
    assert times["began"] < times["detected"] == times["acted"] <= times["recovered"]
    assert times["began"] < times["acknowledged"] <= times["recovered"]
    assert times["began"] < times["good"] <= times["recovered"]
    assert told.json["review_due"] == times["acted"] + REVIEW_WITHIN_S

    page = Path(told.json["file"])
    figures = json.loads(text_of(told.json["metrics"]))
    assert page.name.endswith("_incident.md")
    assert bad in figures["explained"]
    assert {row["service"] for row in figures["snapshot"]["workers"]} == set(SERVICES)
    text = text_of(told.json["file"])
    assert all(words in text for words in ("a \\| drill", "worse", "## Root cause", bad))
    assert QUERY not in text
    revisions = [row["revision"] for row in figures["timeline"] if row["action"] == "roll_back"]
    assert revisions == [back.json["revision"]]

    second = Path(again.json["file"])
    assert second.name == page.name.replace(".md", "_2.md")
    assert text_of(told.json["file"]) == text
    assert text_of(again.json["file"]).startswith("# Second &lt;look&gt;")
    async with Client.connect(explaining.url, name="test") as client:
        entries = await audited(client.connection)
    noted = [entry for entry in entries if entry.action == "incident:write"]
    assert [entry.number for entry in noted] == [
        told.json["audit_entry"],
        again.json["audit_entry"],
    ]
    assert noted[0].actor == "ana"
    assert page.name in noted[0].evidence[0]
    assert verify(entries, []) == []


async def test_a_canary_that_its_policy_condemned_is_told_with_the_evidence(
    nats_server: LocalServer, connection: NatsClient, tmp_path: Path
) -> None:
    async with ramping(nats_server, connection, tmp_path, failing=True) as built:
        canary = await ended(built)
        async with asyncio.timeout(60):
            while not any(entry.outcome == "moved" for entry in await audited(connection)):
                await asyncio.sleep(0.05)
        told = await trimtab(
            nats_server.url, tmp_path / "home", "incident", "write", "--out", str(tmp_path / "out")
        )

    assert canary.phase is Phase.ROLLED_BACK
    assert told.code == 0, told.errors
    assert (told.json["faulting"], told.json["replaced_by"]) == ("next", "base")
    times = told.json["times"]
    assert times["began"] < times["detected"] == times["acted"]
    page = text_of(told.json["file"])
    assert "rollout:critical_failed" in page
    assert "errors: fail e=" in page


async def test_a_time_without_anything_and_a_release_without_requests_are_refused(
    fleet: Fleet, tmp_path: Path
) -> None:
    await fleet.start("controller")
    write = ("incident", "write", "--out", str(tmp_path / "out"))

    quiet = await trimtab(fleet.url, fleet.home, *write)
    await trimtab(fleet.url, fleet.home, "freeze", "on", "--reason", "a drill")
    ghost = await trimtab(fleet.url, fleet.home, *write, "--release", "ghost")
    past = await trimtab(
        fleet.url, fleet.home, *write, "--from", "2001-01-01", "--to", "2001-01-02"
    )

    assert (quiet.code, ghost.code, past.code) == (1, 1, 1)
    assert "holds nothing" in quiet.errors
    assert "holds nothing" in past.errors
    assert "ghost got no requests" in ghost.errors
    assert not (tmp_path / "out").exists()


async def test_without_a_controller_the_audit_and_the_workers_are_told_all_the_same(
    fleet: Fleet, tmp_path: Path
) -> None:
    await fleet.start("controller")
    await trimtab(fleet.url, fleet.home, "kill", "reranker", "--reason", "a drill")
    fleet.of("controller")[0].kill()

    told = await trimtab(fleet.url, fleet.home, "incident", "write", "--out", str(tmp_path))

    assert told.code == 0, told.errors
    assert (told.json["faulting"], told.json["times"]["acknowledged"]) == ("", None)
    page = text_of(told.json["file"])
    assert "no controller answers" in page
    assert "switched: reranker=off" in page
