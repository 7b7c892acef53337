"""Promise: an index is rebuilt beside the live one, verified and swapped in, and taken back, and no search fails.

Runbook 5: a larger nlist after growth, evener lists, a rollback of the index by one command.
"""

import asyncio
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from benchmarks.retriever_questions import QUESTIONS
from tests.deployments import MODULES
from tests.drills import record
from tests.drills.command_line import trimtab
from tests.drills.steering import acknowledgements, stored
from tests.drills.streaming import streaming
from tests.fleet import SERVICES, Fleet
from trimtab.client import Client
from trimtab.contracts.pipeline import SearchReply
from trimtab.corpus.stdlib import COLLECTION, documents

pytestmark = pytest.mark.drill

QUERY = "copy a whole directory tree"
BEFORE, AFTER = "hybrid@1", "hybrid@2"
LISTS = 6


def questions(path: Path) -> Path:
    """Write held-out questions and what answers them."""
    known = {document.id for document in documents(MODULES)}
    rows = [
        {"id": f"q{number}", "text": text, "relevant": sorted(names & known)}
        for number, (text, names) in enumerate(QUESTIONS)
        if names & known
    ]
    path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    return path


def versions(reply: SearchReply) -> tuple[str, str]:
    """Return the release that answered and the index that it searched, by the reply's own word."""
    return reply.release, reply.versions["retrieve"]


async def test_a_rebuilt_index_is_swapped_in_and_back_without_a_failed_search(
    stocked_fleet: Fleet, tmp_path: Path
) -> None:
    await stocked_fleet.start(*SERVICES, "retriever")
    everybody = {member.instance for member in stocked_fleet.members}
    retrievers = {m.instance for m in stocked_fleet.members if m.service == "retriever"}
    asked = questions(tmp_path / "questions.jsonl")
    words = ("index", "rebuild", COLLECTION, "--queries", str(asked), "--max-imbalance", "5")
    lists = ("--kind", "ivf", "--nlist", str(LISTS), "--nprobe", str(LISTS), "--restarts", "3")
    async with (
        Client.connect(stocked_fleet.url, name="drill") as client,
        Client.connect(stocked_fleet.url, name="load") as loading,
        acknowledgements(client) as heard,
        streaming(lambda: loading.search(QUERY, timeout_s=20)) as stream,
    ):
        await stream.grown(20)
        began_at = time.time()
        done: dict[str, Any] = await asyncio.to_thread(
            trimtab, stocked_fleet, *words, *lists, "--wait", "60"
        )
        swapped_at = await heard.applied(int(done["revision"]), everybody)
        await stream.until(lambda reply: versions(reply)[1] == AFTER)
        await stream.grown(20)
        trigger_at = time.time()
        said = await asyncio.to_thread(trimtab, stocked_fleet, "rollback", "--reason", "drill")
        back_at = await heard.applied(int(str(said["revision"])), everybody)
        await stream.until(lambda reply: versions(reply)[1] == BEFORE)
        await stream.grown(20)
        facts = [s for s in await client.health() if s.service == "retriever"]
        state = (await stored(client)).state

    between = [reply.answer for reply in stream.after(swapped_at, trigger_at)]
    back = [reply.answer for reply in stream.after(back_at)]
    good_at = stream.verified(back_at, lambda reply: versions(reply)[1] == BEFORE)
    record.write(
        "index-swap",
        **record.recovery(trigger_at, back_at, good_at),
        rebuild_s=round(swapped_at - began_at, 3),
        replies=len(stream.replies),
        lost=stream.lost,
    )
    assert done["state"] == "swapped"
    assert all(gate["ok"] for gate in done["gates"])
    assert set(done["workers"]) == retrievers
    assert done["proof"]["new"]["kind"] == "ivf"
    assert done["proof"]["new"]["listed"] == done["proof"]["new"]["passages"] > 300
    assert done["proof"]["golden"]["asked"] > 20
    assert stream.lost == 0
    assert {versions(reply.answer) for reply in stream.replies} == {
        ("base", BEFORE),
        ("hybrid-2", AFTER),
    }
    assert {versions(reply) for reply in between} == {("hybrid-2", AFTER)}
    assert {versions(reply) for reply in back} == {("base", BEFORE)}
    assert {sample.instance for sample in facts} == retrievers
    for sample in facts:  # both stay loaded, and every worker has the same lists
        assert {BEFORE, AFTER} <= set(sample.components)
        assert sample.facts[f"nlist.{COLLECTION}.{AFTER}"] == LISTS
    assert len({s.facts[f"imbalance.{COLLECTION}.{AFTER}"] for s in facts}) == 1
    assert (state.stable, state.previous) == ("base", "hybrid-2")
