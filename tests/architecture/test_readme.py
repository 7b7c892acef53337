"""Every command of the README is run, or, where running it would start the world again, shown to exist."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.readme import Command, commands
from tests.architecture.tree import ROOT
from tests.deployments import Deployment
from trimtab.bus.connection import DEFAULT_URL

README = ROOT / "README.md"
COMMANDS = commands(README)
_ADDRESS = re.compile(r"http://(?:127\.0\.0\.1|localhost):8080")
_RUN_S = 120
_STARTERS = {("trimtab", "up"), ("trimtab", "down"), ("trimtab", "doctor")}
"""They start, stop or judge a deployment of this machine; a test of their own runs them."""

MAKES = [c for c in COMMANDS if c.program == "make"]
COMPOSES = [c for c in COMMANDS if c.program == "docker"]
STARTS = [c for c in COMMANDS if c.program == "trimtab" and tuple(c.words[:2]) in _STARTERS]
RUNS = [c for c in COMMANDS if c not in (*MAKES, *COMPOSES, *STARTS)]


def test_the_readme_shows_the_two_commands_and_five_things_to_do() -> None:
    targets = {word for command in MAKES for word in command.words[1:]}

    assert {"up", "test"} <= targets
    assert len(RUNS) >= 5


@pytest.mark.parametrize("command", MAKES, ids=str)
def test_every_make_target_of_the_readme_exists(command: Command) -> None:
    arguments = [word for word in command.words[1:] if not word.startswith("ARGS=")]

    planned = subprocess.run(
        ["make", "--dry-run", "--always-make", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert planned.returncode == 0, planned.stderr


@pytest.mark.parametrize("command", COMPOSES, ids=str)
def test_every_file_of_a_docker_command_of_the_readme_exists(command: Command) -> None:
    files = [word for word in command.words if word.endswith((".yaml", ".Dockerfile"))]

    assert all((ROOT / name).is_file() for name in files)


@pytest.mark.parametrize("command", STARTS, ids=str)
def test_every_starting_command_of_the_readme_is_known_with_its_options(command: Command) -> None:
    shown = subprocess.run(
        [Path(sys.executable).with_name("trimtab"), command.words[1], "--help"],
        capture_output=True,
        text=True,
        check=False,
        env=_environment(),
    )

    assert shown.returncode == 0, shown.stderr
    options = [word.partition("=")[0] for word in command.words[2:] if word.startswith("--")]
    assert all(option in shown.stdout for option in options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader stands: files that one command makes are there for the next."""
    return tmp_path_factory.mktemp("reader")


@pytest.mark.drill
@pytest.mark.parametrize("command", RUNS, ids=str)
def test_a_command_of_the_readme_succeeds(
    command: Command, folder: Path, deployment: Deployment
) -> None:
    if command.program == "curl" and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    text = _redirected(command.text, deployment)
    script = command.program == "script"
    typed = [sys.executable, "-c", text] if script else ["bash", "-euo", "pipefail", "-c", text]

    ran = subprocess.run(
        typed,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_RUN_S,
        check=False,
        env=_environment() | {"TRIMTAB_NATS_URL": deployment.nats_url},
    )

    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    quiet = "<<" in command.text or " > " in command.text
    assert ran.stdout.strip() or quiet, "a reader expects to see something"


def _redirected(text: str, deployment: Deployment) -> str:
    """Return a command that speaks to the test's deployment instead of the default addresses."""
    text = _ADDRESS.sub(deployment.api, text).replace(DEFAULT_URL, deployment.nats_url)
    text = re.sub(r"^curl ", "curl --fail-with-body ", text)
    return text.replace("Client.connect()", f'Client.connect("{deployment.nats_url}")')


def _environment() -> dict[str, str]:
    """Return the reader's environment: this interpreter's scripts come first."""
    scripts = str(Path(sys.executable).parent)
    plain = {k: v for k, v in os.environ.items() if not k.startswith("TRIMTAB_")}
    return plain | {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "NO_COLOR": "1"}
