"""`trimtab down` against supervisors that are deaf, dead, or leave somebody behind."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from trimtab.cli import down
from trimtab.cli.app import build
from trimtab.supervisor import leftovers, state
from trimtab.supervisor.home import Home
from trimtab.supervisor.processid import ProcessId
from trimtab.supervisor.state import Running, UpState

pytestmark = pytest.mark.integration

DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); input()"
POLITE = "print(1, flush=True); input()"


def process(code: str) -> "subprocess.Popen[str]":
    """Start a process and return once its signal handlers are in place."""
    made = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert made.stdout is not None
    assert made.stdout.readline() == "1\n"
    return made


@pytest.fixture
def deaf() -> Iterator["subprocess.Popen[str]"]:
    with process(DEAF) as made:
        yield made
        made.kill()


@pytest.fixture
def polite() -> Iterator["subprocess.Popen[str]"]:
    with process(POLITE) as made:
        yield made
        made.kill()


def identity(of: "subprocess.Popen[str]") -> ProcessId:
    found = ProcessId.of(of.pid)
    assert found is not None
    return found


def stated(home: Home, supervisor: ProcessId, *others: ProcessId) -> UpState:
    home.prepare()
    made = UpState(
        supervisor=supervisor,
        home=str(home.root),
        nats_url="nats://127.0.0.1:1",
        http_url="http://127.0.0.1:2",
        since=0.0,
        ready=True,
        processes=[Running(name=f"p{i}", process=p, log="") for i, p in enumerate(others)],
    )
    state.write(home.state, made)
    return made


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("TRIMTAB_HOME", str(tmp_path))
    return Home(tmp_path)


def test_a_supervisor_that_stops_when_asked_ends_with_0(
    home: Home, polite: "subprocess.Popen[str]"
) -> None:
    stated(home, identity(polite))

    result = CliRunner().invoke(build(), ["down"])

    assert result.exit_code == 0, result.output
    assert "stopped" in result.stdout
    assert polite.wait() != 0
    assert not home.state.exists()


def test_a_deaf_supervisor_is_killed_and_that_is_an_error(
    home: Home, deaf: "subprocess.Popen[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(down, "GRACE_S", 0.2)
    stated(home, identity(deaf))

    result = CliRunner().invoke(build(), ["down"])

    assert result.exit_code == 1
    assert "was killed" in result.stderr
    assert not home.state.exists()


def test_what_a_dead_supervisor_left_behind_is_ended(
    home: Home, polite: "subprocess.Popen[str]", deaf: "subprocess.Popen[str]"
) -> None:
    gone = ProcessId(pid=1, started="another boot")
    left = stated(home, gone, identity(polite), identity(deaf))

    ended = asyncio.run(leftovers.end(left, grace_s=0.2))

    assert sorted(ended) == ["p0", "p1"]
    assert not any(running.process.alive() for running in left.processes)


def test_a_stale_file_alone_means_that_nothing_runs(home: Home) -> None:
    stated(home, ProcessId(pid=1, started="another boot"))

    result = CliRunner().invoke(build(), ["down"])

    assert result.exit_code == 0
    assert "nothing runs" in result.stdout
