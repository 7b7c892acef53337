"""Reads what the source says about itself: docstrings of modules, classes, fields and constants."""

import ast
import inspect
import itertools
import re
from dataclasses import dataclass, field
from pathlib import Path

_ROLE = re.compile(r":\w+:`~?\.?([^`]+)`")


@dataclass(frozen=True)
class Documented:
    """One class or module: its own text, and the text beneath each of its names."""

    text: str
    """Docstring, dedented; empty when there is none."""
    names: dict[str, str] = field(default_factory=dict)
    """Field or constant -> the string literal beneath it, on one line."""


def read(path: Path) -> tuple[Documented, dict[str, Documented]]:
    """Return the documentation of a module and of each class in it, by ``ast``: nothing is run."""
    tree = ast.parse(path.read_text())
    classes = {
        node.name: Documented(_own(node), _beneath(node.body))
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    }
    return Documented(_own(tree), _beneath(tree.body)), classes


def one_line(text: str) -> str:
    """Return a docstring as one line of Markdown for a table cell."""
    plain = _ROLE.sub(r"``\1``", " ".join(text.split()))
    return plain.replace("``", "`").replace("|", "\\|")


def _own(node: ast.Module | ast.ClassDef) -> str:
    return inspect.cleandoc(ast.get_docstring(node, clean=False) or "")


def _beneath(body: list[ast.stmt]) -> dict[str, str]:
    """Return name -> string literal that directly follows its assignment."""
    found: dict[str, str] = {}
    for statement, following in itertools.pairwise(body):
        name = _assigned(statement)
        if name is None or not isinstance(following, ast.Expr):
            continue
        if isinstance(following.value, ast.Constant) and isinstance(following.value.value, str):
            found[name] = one_line(following.value.value)
    return found


def _assigned(statement: ast.stmt) -> str | None:
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return statement.target.id
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        return statement.targets[0].id
    return None
