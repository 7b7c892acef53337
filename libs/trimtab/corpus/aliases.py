"""Names that a module gives to what it defines elsewhere in itself: ``choice = _inst.choice``. Pure."""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import replace

from trimtab.corpus.member import Member


def members(body: Iterable[ast.stmt], defined: Iterable[Member]) -> Iterator[Member]:
    """Yield a member for every public module-level name bound to a documented member of the module.

    Two forms are followed: another name of a function or class, and a method of a hidden instance, which
    is how ``random`` makes its functions.
    """
    known = {member.name: member for member in defined if member.name}
    classes: dict[str, str] = {}
    for node in body:
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
            continue
        name, value = node.targets[0].id, node.value
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
            classes[name] = value.func.id
        elif not name.startswith("_") and name not in known:
            original = known.get(_original(value, classes))
            if original is not None:
                kind = "function" if original.kind == "method" else original.kind
                yield replace(original, name=name, kind=kind, line=node.lineno)


def _original(value: ast.expr, classes: dict[str, str]) -> str:
    """Return the dotted name inside the module that an expression stands for; empty when none."""
    if isinstance(value, ast.Name):
        return value.id
    if isinstance(value, ast.Attribute) and isinstance(value.value, ast.Name):
        return f"{classes.get(value.value.id, value.value.id)}.{value.attr}"
    return ""
