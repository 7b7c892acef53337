"""Where things are is predictable: one string per service, the same file names, no drawers."""

import tomllib

import pytest

from tests.architecture.tree import ROOT, SERVICES, sources

_DRAWERS = {
    "utils",
    "util",
    "common",
    "helpers",
    "helper",
    "base",
    "misc",
    "manager",
    "types",
    "shared",
}
_FIXED = ("__init__", "__main__", "settings", "app")
MAIN_LINES = 20


def _project() -> dict[str, object]:
    project: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project


def test_no_file_or_folder_is_a_drawer() -> None:
    paths = sources("libs", "services", "scripts", "benchmarks", "tests")
    drawers = [
        str(path.relative_to(ROOT))
        for path in paths
        if _DRAWERS & {part.removesuffix(".py") for part in path.relative_to(ROOT).parts}
    ]

    assert drawers == []


def test_the_services_are_the_folders_below_services() -> None:
    folders = {
        path.name for path in (ROOT / "services").iterdir() if (path / "__init__.py").is_file()
    }

    assert folders == set(SERVICES)


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_an_extra_of_its_name(service: str) -> None:
    extras = _project()["optional-dependencies"]

    assert isinstance(extras, dict)
    assert service in extras


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("name", _FIXED)
def test_every_service_has_the_same_file_names(service: str, name: str) -> None:
    assert (ROOT / "services" / service / f"{name}.py").is_file()


@pytest.mark.parametrize("service", SERVICES)
def test_the_main_of_a_service_is_short(service: str) -> None:
    lines = (ROOT / "services" / service / "__main__.py").read_text().splitlines()

    assert len(lines) < MAIN_LINES


@pytest.mark.parametrize("service", SERVICES)
def test_packages_of_services_are_empty(service: str) -> None:
    assert (ROOT / "services" / service / "__init__.py").read_text() == ""
