"""Finds every contract class, so that a new one without an example, a golden or docs fails a test."""

import importlib
import pkgutil
from types import ModuleType
from typing import cast

import msgspec

import trimtab.contracts
from trimtab.contracts.message import Message, encode


def modules() -> list[ModuleType]:
    """Return every module of ``trimtab.contracts``, sorted by name."""
    names = sorted(info.name for info in pkgutil.iter_modules(trimtab.contracts.__path__))
    return [importlib.import_module(f"trimtab.contracts.{name}") for name in names]


def contracts() -> dict[str, type[msgspec.Struct]]:
    """Return every struct that can cross the bus, by class name, in order of module and line."""
    found: dict[str, type[msgspec.Struct]] = {}
    for module in modules():
        for name, value in vars(module).items():
            if not isinstance(value, type) or not issubclass(value, msgspec.Struct):
                continue
            if value.__module__ != module.__name__ or value is Message:
                continue
            if name in found:
                raise ValueError(f"two contracts are called {name}")
            found[name] = value
    return found


def wire(value: msgspec.Struct) -> bytes:
    """Encode any contract; ``ErrorReply`` is one without being a ``Message``, lest imports circle."""
    return encode(cast("Message", value))
