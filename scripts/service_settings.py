"""Finds the settings class of every service, and the one that all of them share."""

import importlib
from pathlib import Path

from trimtab.worker.settings import DeploymentSettings, PrefixedSettings

SERVICES = ("encoder", "retriever", "reranker", "mapper", "controller", "gateway")
"""In the order of a request, then those around it."""


def settings_of(service: str) -> type[PrefixedSettings]:
    """Return the one settings class that ``services/<service>/settings.py`` defines."""
    module = importlib.import_module(f"services.{service}.settings")
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, PrefixedSettings)
        and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise ValueError(
            f"services/{service}/settings.py defines {len(found)} settings classes, not one"
        )
    return found[0]


def every_class() -> dict[str, type[PrefixedSettings]]:
    """Return the shared class as ``deployment`` and each service's under its name."""
    return {"deployment": DeploymentSettings, **{name: settings_of(name) for name in SERVICES}}


def variables(kind: type[PrefixedSettings]) -> dict[str, str]:
    """Return environment variable -> field name of one class."""
    prefix = kind.model_config.get("env_prefix", "")
    return {f"{prefix}{name}".upper(): name for name in kind.model_fields}


def defined_in(kind: type[PrefixedSettings]) -> list[tuple[Path, str]]:
    """Return file and class name of the class and its settings bases, base first."""
    lineage = [base for base in reversed(kind.__mro__) if issubclass(base, PrefixedSettings)]
    return [(_file(base), base.__name__) for base in lineage]


def _file(kind: type[PrefixedSettings]) -> Path:
    return Path(str(importlib.import_module(kind.__module__).__file__))
