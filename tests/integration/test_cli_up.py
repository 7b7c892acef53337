"""`trimtab up` to `trimtab down` as a user lives it: real processes, real models, real text."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trimtab.supervisor import state
from trimtab.supervisor.home import Home
from trimtab.supervisor.options import SERVICES
from trimtab.supervisor.processid import ProcessId
from trimtab.supervisor.state import UpState

pytestmark = pytest.mark.integration

MODULES = "shutil,pathlib,tempfile,json"
START_TIMEOUT_S = 300


def trimtab(home: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command as a user would: installed script, its own process, this home."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TRIMTAB_")}
    return subprocess.run(
        [Path(sys.executable).with_name("trimtab"), *arguments],
        env=environment | {"TRIMTAB_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=START_TIMEOUT_S + 60,
        check=False,
    )


def up(home: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    ports = ("--nats-port", "0", "--http-port", "0", "--timeout", str(START_TIMEOUT_S))
    return trimtab(home, "up", "--detach", *ports, "--corpus-modules", MODULES, *more)


def stated(home: Path) -> UpState:
    found = state.running(Home(home).state)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("deployment")
    started = up(folder)
    assert started.returncode == 0, started.stdout + started.stderr
    yield folder
    stopped = trimtab(folder, "down")
    assert stopped.returncode == 0, stopped.stderr
    assert not Home(folder).state.exists()


def parsed(done: "subprocess.CompletedProcess[str]", code: int = 0) -> Any:
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_a_second_start_says_where_the_first_one_runs_and_is_no_error(home: Path) -> None:
    shown = up(home)
    scripted = parsed(up(home, "--json"))

    assert shown.returncode == 0
    assert "is running already" in shown.stderr
    assert scripted["already_running"] is True
    assert scripted["nats_url"] == stated(home).nats_url
    names = {process["name"] for process in scripted["processes"]}
    assert names == {"nats-server", *(f"{service}-1" for service in SERVICES)}


def test_plain_words_find_the_function_that_does_it(home: Path) -> None:
    reply = parsed(trimtab(home, "search", "copy a whole directory tree", "--json"))

    assert reply["results"][0]["id"] == "shutil.copytree"
    assert reply["results"][0]["metadata"]["module"] == "shutil"
    assert reply["release"] == "base"
    assert reply["timing_ms"]["total"] > 0


def test_a_detectors_label_becomes_a_canonical_one(home: Path) -> None:
    arguments = ("map", "--detector", "openai-moderation", "hate/threatening", "--json")
    answer = parsed(trimtab(home, *arguments))

    assert set(answer) == {
        "taxonomy", "scores", "confidence", "decided_by", "fallback_reason", "mode", "versions",
    }  # fmt: skip
    assert answer["taxonomy"][0] != "OTHER.Unknown"
    assert answer["decided_by"] in ("model", "rules")
    assert 0 < answer["confidence"] <= 1


def test_users_own_text_is_searchable_when_ingest_returns_and_a_bad_row_costs_only_itself(
    home: Path, tmp_path: Path
) -> None:
    path = tmp_path / "docs.jsonl"
    rows = [
        {"id": "tides", "text": "The moon pulls the sea and makes the tides.", "tenant": "acme"},
        {"id": "bread", "text": "Yeast makes the dough of bread rise.", "title": "Baking"},
    ]
    path.write_text("\n".join([json.dumps(rows[0]), '{"id": 3}', json.dumps(rows[1])]))

    first = parsed(trimtab(home, "ingest", str(path), "--collection", "facts", "--json"), code=1)
    again = parsed(trimtab(home, "ingest", str(path), "--collection", "facts", "--json"), code=1)
    search = ("search", "why does the sea rise", "--collection", "facts", "--json")
    mine = parsed(trimtab(home, *search, "--tenant", "acme"))
    theirs = parsed(trimtab(home, *search))

    assert (first["new"], first["unchanged"]) == (2, 0)
    assert [bad["line"] for bad in first["rejected"]] == [2]
    assert (again["new"], again["unchanged"]) == (0, 2)
    assert mine["results"][0]["id"] == "tides"
    assert [result["id"] for result in theirs["results"]] == ["bread"]


def test_an_unknown_collection_names_the_command_that_makes_one(home: Path) -> None:
    result = trimtab(home, "search", "anything", "--collection", "nowhere")

    assert result.returncode == 1
    assert "trimtab ingest FILE --collection NAME" in result.stderr
    assert "Traceback" not in result.stderr


def test_status_shows_every_worker_at_one_revision(home: Path) -> None:
    found = parsed(trimtab(home, "status", "--json"))

    assert {worker["service"] for worker in found["workers"]} == set(SERVICES)
    assert found["convergence"] == {"converged": True, "behind": [], "silent": []}
    assert found["release"] == "base"


def test_doctor_finds_everything_in_order(home: Path) -> None:
    found = parsed(trimtab(home, "doctor", "--json"))

    assert [check for check in found["checks"] if check["outcome"] == "failed"] == []
    assert {check["name"] for check in found["checks"]} >= {f"service {s}" for s in SERVICES}


def test_the_gateway_answers_over_http_at_the_announced_address(home: Path) -> None:
    with urllib.request.urlopen(f"{stated(home).http_url}/health", timeout=10) as answer:
        assert answer.status == 200


def until(condition: Any, timeout_s: float = 60.0) -> None:
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_at, "it did not happen in time"
        time.sleep(0.05)


def test_a_killed_worker_comes_back_and_is_ready_again(home: Path) -> None:
    def reranker() -> state.Running:
        return next(p for p in stated(home).processes if p.name == "reranker-1")

    before = reranker()
    before.process.send(signal.SIGKILL)

    until(lambda: reranker().process != before.process)
    until(lambda: trimtab(home, "status").returncode == 0)
    assert reranker().restarts >= 1


def everybody(home: Path) -> list[ProcessId]:
    found = stated(home)
    return [found.supervisor, *(running.process for running in found.processes)]


def test_a_deployment_survives_its_stop_and_its_supervisors_death(
    tmp_path: Path, home: Path
) -> None:
    """The models built by the shared deployment are reused: only starting is under test here."""
    mine = tmp_path / "mine"
    trimtab_home = Home(mine)
    trimtab_home.prepare()
    if (home / "components").is_dir():
        shutil.copytree(home / "components", mine / "components")

    assert up(mine).returncode == 0
    first = everybody(mine)
    assert trimtab(mine, "down").returncode == 0
    assert not any(process.alive() for process in first)

    again = up(mine)
    assert again.returncode == 0, again.stderr
    assert "ingesting" not in again.stderr
    second, dead_url = everybody(mine), stated(mine).nats_url
    os.kill(second[0].pid, signal.SIGKILL)
    until(lambda: not any(process.alive() for process in second))
    assert trimtab_home.state.exists()
    unreachable = trimtab(mine, "search", "x", "--nats", dead_url)
    assert unreachable.returncode == 3

    assert interrupted_once_up(mine) == 0
    assert not trimtab_home.state.exists()


def interrupted_once_up(home: Path) -> int:
    """Start in the foreground after a supervisor's death, search, press Ctrl-C; return the exit code."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TRIMTAB_")}
    ports = ("--nats-port", "0", "--http-port", "0", "--timeout", str(START_TIMEOUT_S))
    with subprocess.Popen(
        [Path(sys.executable).with_name("trimtab"), "up", *ports, "--corpus-modules", MODULES],
        env=environment | {"TRIMTAB_HOME": str(home)},
        stdout=subprocess.PIPE,
        text=True,
    ) as foreground:
        assert foreground.stdout is not None
        assert any("Ctrl-C" in line for line in foreground.stdout)
        running = everybody(home)
        reply = parsed(trimtab(home, "search", "copy a whole directory tree", "--json"))
        assert reply["results"][0]["id"] == "shutil.copytree"
        foreground.send_signal(signal.SIGINT)
        code = foreground.wait(timeout=120)
    assert not any(process.alive() for process in running)
    return code
