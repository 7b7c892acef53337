"""The wheel holds every file that the library and the services need at run time."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, tracked


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names in a wheel built from this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    [built] = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        return set(archive.namelist())


def test_every_tracked_file_of_the_library_and_the_services_is_in_the_wheel(
    wheel: set[str],
) -> None:
    names = [path.relative_to(ROOT) for path in tracked()]
    needed = {_installed(name) for name in names if name.parts[0] in {"libs", "services"}}

    assert needed - wheel == set()


def test_the_wheel_holds_no_tests_and_no_scripts(wheel: set[str]) -> None:
    tops = {name.split("/")[0] for name in wheel if ".dist-info" not in name}

    assert tops == {"trimtab", "services"}


def _installed(name: Path) -> str:
    return name.relative_to("libs").as_posix() if name.parts[0] == "libs" else name.as_posix()
