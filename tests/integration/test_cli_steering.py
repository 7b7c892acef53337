"""The steering commands as an operator types them: JSON, exit codes, refusals that say why."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fleet import Fleet

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    json: Any
    errors: str


def trimtab(fleet: Fleet, *words: str) -> Said:
    done = subprocess.run(
        [Path(sys.executable).with_name("trimtab"), *words, "--nats", fleet.url, "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TRIMTAB_HOME": str(fleet.home)},
    )
    return Said(done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr)


@pytest.fixture
async def controlled(fleet: Fleet) -> Fleet:
    """A controller alone: enough to order, nobody to obey but itself."""
    await fleet.start("controller")
    return fleet


async def test_a_kill_is_written_obeyed_shown_in_the_history_and_taken_back(
    controlled: Fleet,
) -> None:
    killed = trimtab(controlled, "kill", "reranker", "--reason", "drill", "--ttl", "30m")
    again = trimtab(controlled, "restore", "reranker")
    history = trimtab(controlled, "history")

    assert (killed.code, killed.json["status"], killed.json["via"]) == (0, "written", "controller")
    assert killed.json["diff"] == ["+ reranker=off for everybody"]
    assert killed.json["convergence"]["status"] == "converged"
    assert again.json["diff"] == ["- reranker=off for everybody"]
    assert [entry["action"] for entry in history.json] == ["kill", "restore"]
    assert history.json[0]["reason"] == "drill"


async def test_a_dry_run_writes_nothing_and_stands_in_the_audit_alone(controlled: Fleet) -> None:
    tried = trimtab(controlled, "set", "retriever.nprobe", "4", "--dry-run")
    history, audit = trimtab(controlled, "history"), trimtab(controlled, "audit", "tail")

    assert (tried.code, tried.json["status"]) == (0, "dry_run")
    assert history.json == []
    assert [entry["outcome"] for entry in audit.json] == ["dry_run"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        pytest.param(("set", "retriever.nprobe", "0"), "from 1 to 4096", id="bounds"),
        pytest.param(("set", "retriever.nprobes", "4"), "unknown setting", id="setting"),
        pytest.param(("kill", "rerankers"), "unknown switch", id="switch"),
        pytest.param(("kill", "reranker", "--ttl", "forever"), "--reason", id="for ever"),
        pytest.param(("kill", "reranker", "--ttl", "soon"), "no span of time", id="span"),
        pytest.param(("canary", "start", "ghost"), "unknown release", id="release"),
        pytest.param(("canary", "pause"), "no canary is running", id="canary"),
        pytest.param(("rollback",), "no previous release", id="rollback"),
        pytest.param(
            ("kill", "reranker", "--expect-revision", "99"), "expected revision 99", id="revision"
        ),
    ],
)
async def test_what_cannot_be_done_is_refused_with_the_reason(
    controlled: Fleet, words: tuple[str, ...], why: str
) -> None:
    refused = trimtab(controlled, *words)

    assert refused.code == 1
    assert why in refused.errors
    assert "error" in refused.json


async def test_releases_are_made_listed_compared_and_refused_by_interlocks(
    controlled: Fleet,
) -> None:
    made = trimtab(controlled, "release", "create", "plain", "--rerank", "none")
    same = trimtab(controlled, "release", "create", "plain", "--rerank", "none")
    other = trimtab(controlled, "release", "create", "plain", "--map", "other@1")
    listed = trimtab(controlled, "release", "list")
    differs = trimtab(controlled, "release", "diff", "base", "plain")
    start = trimtab(controlled, "canary", "start", "plain", "--weight", "5")

    assert (made.code, same.json["status"]) == (0, "unchanged")
    assert "other content" in other.json["error"]["problem"] or "exists" in other.errors
    assert [row["name"] for row in listed.json] == ["base", "plain"]
    assert any(line.startswith("rerank:") for line in differs.json)
    assert start.code == 1
    assert "no live encoder has loaded" in start.errors


async def test_the_audit_verifies_exports_and_names_an_edited_checkpoint(
    controlled: Fleet, tmp_path: Path
) -> None:
    trimtab(controlled, "freeze", "on", "--reason", "holidays")
    whole = trimtab(controlled, "audit", "verify")
    exported = trimtab(controlled, "audit", "export", str(tmp_path / "audit.jsonl"))
    (tmp_path / "forged").write_text(_forged_checkpoint())
    forged = trimtab(controlled, "audit", "verify", "--checkpoints", str(tmp_path / "forged"))

    assert (whole.code, whole.json["faults"]) == (0, [])
    assert exported.json["entries"] == 1
    assert json.loads((tmp_path / "audit.jsonl").read_text())["action"] == "freeze"
    assert forged.code == 1
    assert "signature" in forged.json["faults"][0]["problem"]


async def test_the_runbooks_verbs_say_that_no_mapper_runs(controlled: Fleet) -> None:
    on = trimtab(controlled, "mapper", "runtime", "kill-switch", "on", "--reason", "drill")
    shown = trimtab(controlled, "mapper", "runtime", "show-mode")

    assert on.code == 0
    assert (shown.code, shown.json["mode"]) == (1, "rules_only")
    assert trimtab(controlled, "wait").code == 0


def _forged_checkpoint() -> str:
    from trimtab.contracts.audit import Checkpoint
    from trimtab.contracts.message import encode

    point = Checkpoint(number=1, head="a" * 64, at=1.0, key="b" * 64, signature="c" * 128)
    return encode(point).hex() + "\n"
