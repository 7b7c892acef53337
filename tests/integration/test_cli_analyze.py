"""`trimtab analyze`: what a controller heard is recorded, and judged again without one."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fleet import Fleet
from tests.unit.controller import records
from trimtab.telemetry.recording import line_of, read_samples

pytestmark = pytest.mark.integration

_TRIMTAB = Path(sys.executable).with_name("trimtab").as_posix()
POLICY = """\
name: quick
source: this test
endpoint: pipeline_search
steps:
  - {weight: 5, hold: 5s, min_requests: 20}
max_hold: 60s
guardrails:
  - {name: errors, endpoint: pipeline_search, event: error, severity: critical}
"""


def analyze(home: Path, *words: str) -> tuple[int, Any, str]:
    done = subprocess.run(
        [_TRIMTAB, "analyze", *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TRIMTAB_HOME": str(home)},
    )
    return done.returncode, done.stdout, done.stderr


async def test_every_workers_samples_are_recorded_until_ctrl_c(
    fleet: Fleet, tmp_path: Path
) -> None:
    await fleet.start("controller", "reranker")
    record = tmp_path / "samples.jsonl"
    recording = await asyncio.create_subprocess_exec(
        _TRIMTAB,
        *("analyze", "--record", str(record), "--json", "--nats", fleet.url),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    heard: set[str] = set()
    async with asyncio.timeout(60):
        while heard != {"controller", "reranker"}:
            await asyncio.sleep(0.1)
            heard = {s.service for s in read_samples(record)} if record.exists() else set()
    recording.send_signal(signal.SIGINT)
    printed, _ = await recording.communicate()

    assert recording.returncode == 0
    assert json.loads(printed) == {
        "samples": len(list(read_samples(record))),
        "file": str(record),
    }


@pytest.mark.parametrize(
    ("canary_error", "code", "verdict"), [(0.0, 0, "pass"), (0.5, 1, "fail")], ids=["good", "bad"]
)
def test_a_record_is_judged_again_without_a_deployment(
    tmp_path: Path, canary_error: float, code: int, verdict: str
) -> None:
    record, policy = tmp_path / "record.jsonl", tmp_path / "quick.yaml"
    record.write_bytes(b"".join(line_of(s) for s in records.rollout(30, canary_error=canary_error)))
    policy.write_text(POLICY)
    words = ("--replay", str(record), "--policy", str(policy))

    found, printed, _ = analyze(tmp_path, *words, "--json")
    _, told, _ = analyze(tmp_path, *words)

    assert (found, json.loads(printed)["verdict"]) == (code, verdict)
    assert f"final verdict {verdict}" in told


def test_one_of_record_and_replay_must_be_said(tmp_path: Path) -> None:
    code, printed, errors = analyze(tmp_path, "--json")

    assert code == 2
    assert "either --record or --replay" in json.loads(printed)["error"]["problem"]
    assert "Traceback" not in errors


def test_what_is_no_record_is_refused_with_the_line(tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text("{}\n")

    code, printed, errors = analyze(tmp_path, "--replay", str(bad), "--json")

    assert code == 1
    assert "line 1 of bad.jsonl" in json.loads(printed)["error"]["problem"]
    assert "Traceback" not in errors
