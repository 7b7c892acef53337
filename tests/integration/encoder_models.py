"""The shipped encoder components for tests, each built once per test run into a scratch folder."""

import importlib.util
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from services.encoder.build import build_component
from services.encoder.component import ComponentBackend, open_component
from services.encoder.shipped import SHIPPED

_PACKAGES = {"onnx": "onnxruntime", "openvino": "openvino"}


@cache
def _scratch() -> "TemporaryDirectory[str]":
    # Held by the cache, removed when the process ends.
    return TemporaryDirectory(prefix="trimtab-test-components-")


@cache
def folder(reference: str) -> Path:
    """Return the built component; skips the test when its engine is not installed."""
    package = _PACKAGES[SHIPPED[reference]]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: pip install 'trimtab[encoder-{package}]'")
    return build_component(reference, Path(_scratch().name) / "built", lambda line: None)


@cache
def backend(reference: str) -> ComponentBackend:
    """Return the component loaded on its engine."""
    return open_component(folder(reference))
