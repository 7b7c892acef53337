"""The type checker and the linter find nothing, on the whole tree."""

import subprocess
import sys

from tests.architecture.tree import ROOT

_CODE = ("libs", "services", "scripts", "benchmarks", "tests")


def _run(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_ruff_finds_nothing() -> None:
    code, output = _run("ruff", "check", *_CODE)

    assert code == 0, output


def test_every_file_is_formatted() -> None:
    code, output = _run("ruff", "format", "--check", *_CODE)

    assert code == 0, output


def test_mypy_strict_finds_nothing() -> None:
    packages = ("trimtab", "services", "scripts", "tests", "benchmarks")
    code, output = _run("mypy", *(f"-p{package}" for package in packages))

    assert code == 0, output
