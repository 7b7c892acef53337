"""The two Dockerfiles pass the linter and hold one service, no root and no second service's code."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT

FILES = sorted((ROOT / "deploy" / "docker").glob("*.Dockerfile"))
every_file = pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)


def test_there_is_one_dockerfile_per_base() -> None:
    assert [path.name for path in FILES] == ["cpu.Dockerfile", "gpu.Dockerfile"]


@every_file
def test_hadolint_finds_nothing(path: Path) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")

    linted = subprocess.run([hadolint, path], capture_output=True, text=True, check=False)

    assert linted.returncode == 0, linted.stdout + linted.stderr


@every_file
def test_the_process_is_nobody_and_gets_the_signals(path: Path) -> None:
    last_stage = path.read_text().rpartition("\nFROM ")[2]

    assert "\nUSER 65534:65534\n" in last_stage
    assert "exec python -m services.${SERVICE}" in last_stage


@every_file
def test_only_the_library_and_one_service_are_copied(path: Path) -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", path.read_text(), re.MULTILINE)

    assert copied == [
        "pyproject.toml constraints.txt README.md LICENSE",
        "libs/",
        "services/__init__.py",
        "services/${SERVICE}/",
    ]


@every_file
def test_every_package_comes_at_a_stated_version(path: Path) -> None:
    installs = re.findall(r"pip install (.+)$", path.read_text(), re.MULTILINE)

    assert len(installs) >= 3
    for line in installs:
        assert "--constraint constraints.txt " in line or re.search(r"==[\d.]+;", line), line
