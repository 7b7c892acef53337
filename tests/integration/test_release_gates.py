"""A release is measured before it may take requests, and refused until it passed, over real stages."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.deployments import MODULES
from tests.fleet import SERVICES, Fleet
from tests.integration.refusals import refused, trimtab
from trimtab.client import Client
from trimtab.contracts.errors import RemoteError
from trimtab.contracts.gates import ProbeSearch
from trimtab.control.gates import MIN_CASES
from trimtab.control.store import ControlStore
from trimtab.corpus.stdlib import documents

pytestmark = pytest.mark.integration


def cases(path: Path, count: int) -> Path:
    """Write as many cases as asked: each passage's own title must find it, and one label be the same."""
    passages = list(documents(MODULES))[:count]
    rows: list[dict[str, object]] = [
        {"text": f"{passage.title} {passage.id}", "relevant": [passage.id]} for passage in passages
    ]
    rows.append({"detector": "detoxify", "output": "toxic", "expected": ["HARM.SPEECH.Toxicity"]})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


async def test_a_release_is_refused_until_every_gate_was_measured_and_passed(
    stocked_fleet: Fleet, tmp_path: Path
) -> None:
    fleet = stocked_fleet
    await fleet.start(*SERVICES)
    await trimtab(fleet, "release", "create", "next", "--setting", "retriever.nprobe=16")
    start: Sequence[str] = ("canary", "start", "next", "--policy", "retriever-v0")
    few, enough = cases(tmp_path / "few", 3), cases(tmp_path / "enough", MIN_CASES)

    unmeasured = await trimtab(fleet, *start)
    too_few = await trimtab(fleet, "release", "gate", "next", "--cases", str(few))
    after_few = await trimtab(fleet, *start, "--dry-run")
    measured = await trimtab(fleet, "release", "gate", "next", "--cases", str(enough))
    allowed = await trimtab(fleet, *start)
    shown = await trimtab(fleet, "release", "show", "next")
    audit = await trimtab(fleet, "audit", "tail")

    assert unmeasured.code == 1
    assert "trimtab release gate next --cases FILE" in unmeasured.errors
    assert too_few.code == 1
    assert refused(after_few) == ["gate:norms", "gate:index", "gate:golden"]
    assert measured.code == 0, measured.json
    figures = {row["report"]["gate"]: row["report"]["figures"] for row in measured.json}
    assert figures["norms"]["norm_error"] < 1e-5
    assert figures["index"]["overlap_at_10"] >= 0.95
    assert figures["golden"]["search_recall_at_5"] > 0.9
    assert figures["golden"]["map_loss"] == 0.0
    assert set(shown.json["gates"]) == {"norms", "index", "golden"}
    assert {gate["shortfall"] for gate in shown.json["gates"].values()} == {""}
    assert allowed.json["status"] == "written", allowed.errors
    assert refused(allowed) == []
    actions = [(entry["action"], entry["outcome"]) for entry in audit.json]
    assert actions.count(("record_gate", "written")) == 6
    assert ("start_canary", "refused") in actions


async def test_a_forced_start_needs_a_reason_and_stands_in_the_audit_with_what_it_overrode(
    fleet: Fleet,
) -> None:
    await fleet.start("controller")
    await trimtab(fleet, "release", "create", "next", "--rerank", "none")
    start = ("canary", "start", "next", "--policy", "retriever-v0", "--force")

    silent = await trimtab(fleet, *start)
    forced = await trimtab(fleet, *start, "--reason", "the index burns")
    audit = await trimtab(fleet, "audit", "tail")

    assert silent.code == 1
    assert "--force needs a --reason" in silent.errors
    assert "gate:norms" in refused(forced)
    entry = audit.json[-1]
    assert (entry["action"], entry["outcome"]) == ("start_canary", "forced")
    assert entry["reason"] == "the index burns"
    assert any("gate:norms: refuses" in line for line in entry["evidence"])


async def test_a_probe_asks_exactly_the_content_that_was_meant(stocked_fleet: Fleet) -> None:
    fleet = stocked_fleet
    await fleet.start(*SERVICES)

    async with Client.connect(fleet.url, name="prober") as client:
        known = (await (await ControlStore.open(client.connection)).read()).release
        probe = ProbeSearch(
            release="base", release_hash=known.hash, collection="stdlib", text="copy a tree"
        )
        found = await client.probe_search(probe)
        with pytest.raises(RemoteError, match="look again"):
            await client.probe_search(
                ProbeSearch(
                    release="base", release_hash="0" * 12, collection="stdlib", text="copy a tree"
                )
            )

    assert found.norm == pytest.approx(1.0, abs=1e-5)
    assert found.nearest == found.truly_nearest  # few passages: FLAT answers
    assert len(found.retrieved) == 50
    assert sorted(found.results) == sorted(found.retrieved)
