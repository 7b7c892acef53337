"""What is heavy or optional is imported in a named place only, and every extra covers what its service imports."""

import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions

import pytest

from tests.architecture.tree import (
    ROOT,
    SERVICES,
    imports,
    imports_at_once,
    module,
    modules,
    sources,
)

HOMES: dict[str, set[str]] = {
    "faiss": {"services.retriever.dense.flat"},
    "fastapi": {
        "services.gateway.http.routes",
        "services.gateway.http.listener",
        "services.gateway.http.openapi",
    },
    "httpx": {"services.encoder.vllm_backend", "trimtab.llm.wire"},
    "onnx": {
        "services.encoder.build",
        "services.encoder.fit_basis",
        "services.encoder.graph",
        "services.encoder.quantize",
        "services.encoder.sparse.splade",
    },
    "onnxruntime": {"services.encoder.onnx_engine", "services.encoder.quantize"},
    "openvino": {"services.encoder.openvino_engine"},
    "grpc": {"services.retriever.vectordb.milvus"},
    "pymilvus": {"services.retriever.vectordb.milvus"},
    "opentelemetry": {"trimtab.telemetry.traces"},
    "structlog": {"trimtab.telemetry.logs"},
    "tokenizers": {"services.encoder.tokenizer"},
    "uvicorn": {"services.gateway.http.listener"},
    "uvloop": {"trimtab.worker.service"},
}
"""Package -> the modules that may import it."""

_NEVER = {"torch", "vllm", "transformers", "sentence_transformers", "ray", "pandas", "requests"}
_BROUGHT_ALONG = {
    "annotated-types": "pydantic",
    "grpcio": "pymilvus",
    "scipy": "scikit-learn",
    "starlette": "fastapi",
    "threadpoolctl": "scikit-learn",
}
"""Distribution -> the declared one that always brings it and whose types we share."""


def _third_party(*folders: str) -> Iterator[tuple[str, str]]:
    """Yield module of ours and top-level package that it imports from elsewhere."""
    for path in sources(*folders):
        for name in imports(path):
            package = name.split(".")[0]
            if package not in sys.stdlib_module_names | {"trimtab", "services"}:
                yield module(path), package


@pytest.mark.parametrize("package", HOMES)
def test_a_heavy_package_is_imported_in_its_own_place_only(package: str) -> None:
    found = {name for name, imported in _third_party("libs", "services") if imported == package}

    assert found <= HOMES[package]
    assert found, "nothing imports it any more: take it off the list"


def test_typer_and_rich_stay_in_the_command_line() -> None:
    found = {n for n, p in _third_party("libs", "services") if p in {"typer", "rich"}}

    assert all(name.startswith("trimtab.cli.") for name in found), found


def test_nothing_imports_the_heavy_frameworks_that_stay_out_of_the_install() -> None:
    assert [pair for pair in _third_party("libs", "services") if pair[1] in _NEVER] == []


@cache
def _declared(extra: str = "") -> frozenset[str]:
    """Return the distributions of an extra, or of the core when none is named."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["optional-dependencies"][extra] if extra else project["dependencies"]
    return frozenset(re.split(r"[\[><=~! ]", line)[0].lower() for line in lines)


@cache
def _distributions() -> dict[str, list[str]]:
    return dict(packages_distributions())


def _distribution(package: str) -> str:
    names = _distributions().get(package)
    found = (names[0] if names else package).lower().replace("_", "-")
    return _BROUGHT_ALONG.get(found, found)


def _needed_to_run(service: str) -> set[str]:
    """Return the modules that starting a service imports, commands such as training left out."""
    waiting, found = [f"services.{service}.__main__"], set()
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += imports_at_once(modules()[name])
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_the_extra_of_a_service_covers_what_it_imports(service: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    backends = [e for e in project["optional-dependencies"] if e.startswith(f"{service}-")]
    allowed = _declared().union(*(_declared(extra) for extra in (service, *backends)))
    running = _needed_to_run(service)
    wrong = [
        f"{name} imports {package}"
        for name, package in _third_party(f"services/{service}")
        if _distribution(package)
        not in (allowed if name in running else allowed | _declared("train"))
    ]

    assert wrong == []


def test_the_core_and_the_extras_of_the_library_cover_what_it_imports() -> None:
    optional = (_declared(extra) for extra in ("cli", "otlp", "train"))
    allowed = _declared().union(*optional) | {"opentelemetry-api"}
    wrong = [
        f"{name} imports {package}"
        for name, package in _third_party("libs")
        if _distribution(package) not in allowed
    ]

    assert wrong == []


@pytest.mark.parametrize("package", ["bus", "contracts", "control", "worker", "artifacts"])
def test_what_workers_run_needs_the_core_only(package: str) -> None:
    wrong = [
        f"{name} imports {imported}"
        for name, imported in _third_party(f"libs/trimtab/{package}")
        if _distribution(imported) not in _declared()
    ]

    assert wrong == []
