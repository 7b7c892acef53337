"""Members of compiled modules, which have no source: read by introspection from a closed import list."""

import importlib
import inspect
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from trimtab.corpus.member import Kind, Member

# fmt: off
SAFE = frozenset({
    "array", "asyncio", "atexit", "binascii", "builtins", "bz2", "cmath", "codecs",
    "collections", "contextvars", "csv", "datetime", "errno", "faulthandler", "fcntl",
    "functools", "gc", "grp", "hashlib", "io", "itertools", "lzma", "marshal", "math", "mmap",
    "operator", "os", "pwd", "queue", "random", "re", "resource", "select", "signal", "socket",
    "sqlite3", "ssl", "struct", "sys", "termios", "threading", "time", "tracemalloc", "types",
    "unicodedata", "weakref", "zlib", "zoneinfo",
})
# fmt: on
"""Modules whose import opens, starts and prints nothing."""

_TEXT_SIGNATURE_END = ")"


def members(module_name: str) -> list[Member]:
    """Return the documented compiled members of one module of :data:`SAFE`, in alphabetical order.

    Python-level functions are left out: the module's syntax tree has them, with their lines.
    Returns nothing for a module that this platform lacks.
    """
    if module_name not in SAFE:
        return []
    # Reading a deprecated attribute warns; nobody is about to use it.
    with warnings.catch_warnings(action="ignore"):
        try:
            return list(_members(module_name, importlib.import_module(module_name)))
        except ImportError:
            return []


def _members(module_name: str, module: ModuleType) -> Iterator[Member]:
    if module.__doc__:
        yield Member("", "module", "", inspect.cleandoc(module.__doc__).strip(), None)
    for name in sorted(_public_names(module)):
        yield from _member(module_name, name, getattr(module, name, None))


def _public_names(module: ModuleType) -> list[str]:
    names = getattr(module, "__all__", None) or dir(module)
    return [name for name in names if not name.startswith("_")]


def _member(module_name: str, name: str, value: object) -> Iterator[Member]:
    if not _belongs(module_name, value):
        return
    if inspect.isclass(value):
        yield from _documented(name, "class", value)
        for method_name, method in sorted(vars(value).items()):
            yield from _method(f"{name}.{method_name}", method)
    elif inspect.isbuiltin(value):
        yield from _documented(name, "function", value)


def _belongs(module_name: str, value: object) -> bool:
    """Return whether the value is defined by this module or by the compiled one behind it."""
    owner = getattr(value, "__module__", None) or ""
    if owner in (module_name, "posix", "nt"):
        return True
    return owner.startswith("_") and not owner.startswith("__")


def _method(name: str, value: Any) -> Iterator[Member]:
    if name.rpartition(".")[2].startswith("_") or inspect.isfunction(value):
        return
    if inspect.isgetsetdescriptor(value) or inspect.ismemberdescriptor(value):
        yield from _documented(name, "property", value)
    elif isinstance(value, classmethod | staticmethod):
        yield from _documented(name, "method", value.__func__)
    elif inspect.ismethoddescriptor(value):
        yield from _documented(name, "method", value)


def _documented(name: str, kind: Kind, value: Any) -> Iterator[Member]:
    doc = inspect.cleandoc(getattr(value, "__doc__", None) or "").strip()
    if doc:
        signature = "" if kind == "property" else _signature(name, value, doc)
        yield Member(name, kind, signature, doc, None)


def _signature(name: str, value: Any, doc: str) -> str:
    try:
        parameters = inspect.signature(value).parameters.values()
        kept = [p for p in parameters if p.name not in ("self", "type", "cls")]
        return str(inspect.Signature(kept))
    except (ValueError, TypeError):
        return _signature_in(name.rpartition(".")[2], doc)


def _signature_in(name: str, doc: str) -> str:
    """Return ``(...)`` of a docstring that opens with the call, as older C modules write it."""
    first = doc.partition("\n")[0].partition("->")[0].strip()
    opening = first.find(f"{name}(")
    if opening < 0 or not first.endswith(_TEXT_SIGNATURE_END):
        return ""
    return first[opening + len(name) :]
