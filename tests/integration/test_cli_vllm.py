"""`trimtab up --encoder vllm` with a real vLLM server in its own environment; `make test-vllm` runs it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trimtab.supervisor import state
from trimtab.supervisor.home import Home
from trimtab.supervisor.vllm import DEFAULT_PYTHON

PYTHON = Path(__file__).parents[2] / DEFAULT_PYTHON

pytestmark = [
    pytest.mark.integration,
    pytest.mark.vllm,
    pytest.mark.skipif(not PYTHON.exists(), reason="no .venv-vllm here; `make test-vllm` makes it"),
]


def trimtab(home: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TRIMTAB_")}
    return subprocess.run(
        [Path(sys.executable).with_name("trimtab"), *arguments],
        env=environment | {"TRIMTAB_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


PORTS = ("--nats-port", "0", "--http-port", "0")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    vllm = ("--encoder", "vllm", "--vllm-python", str(PYTHON), "--timeout", "400")
    started = trimtab(tmp_path, "up", "--detach", *PORTS, *vllm, "--corpus-modules", "shutil,json")
    assert started.returncode == 0, started.stdout + started.stderr
    yield tmp_path
    assert trimtab(tmp_path, "down").returncode == 0


def test_a_deployment_encodes_with_a_vllm_server_that_it_starts_and_stops(home: Path) -> None:
    found = state.running(Home(home).state)
    assert found is not None
    [server] = [running.process for running in found.processes if running.name == "vllm"]

    done = trimtab(home, "search", "copy a whole directory tree", "--json")
    stopped = trimtab(home, "down")
    refused = trimtab(home, "up", "--detach", *PORTS, "--corpus", "none")

    assert done.returncode == 0, done.stderr
    reply = json.loads(done.stdout)
    assert reply["release"] == "base-vllm"
    assert reply["results"][0]["id"] == "shutil.copytree"
    assert stopped.returncode == 0
    assert not server.alive()
    assert refused.returncode == 1
    assert "--encoder vllm" in refused.stderr
