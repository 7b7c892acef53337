"""The repository as the architecture tests see it: files, syntax trees and who imports whom."""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SERVICES = ("encoder", "retriever", "reranker", "mapper", "controller", "gateway")
_SOURCE_ROOTS = {
    "libs": ROOT / "libs",
    "services": ROOT,
    "scripts": ROOT,
    "benchmarks": ROOT,
    "tests": ROOT,
}


def sources(*folders: str) -> list[Path]:
    """Return every Python file below the named top folders, sorted."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def module(path: Path) -> str:
    """Return the dotted name by which a file is imported."""
    top = path.relative_to(ROOT).parts[0]
    parts = path.relative_to(_SOURCE_ROOTS[top]).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def parsed(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text(), filename=str(path))


@cache
def modules() -> dict[str, Path]:
    """Return every module of the library and the services by dotted name."""
    return {module(path): path for path in sources("libs", "services")}


def imports(path: Path) -> set[str]:
    """Return every dotted name that a file imports, anywhere in it, type checking included."""
    found: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {target for alias in node.names for target in _targets(node, alias.name)}
    return found


def _targets(node: ast.ImportFrom, name: str) -> Iterator[str]:
    if node.level or node.module is None:
        raise ValueError(f"relative import in line {node.lineno}; write the whole name")
    whole = f"{node.module}.{name}"
    yield whole if whole in modules() else node.module


def imports_at_once(path: Path) -> set[str]:
    """Return the modules of ours that importing a file imports: not those inside its functions."""
    found: set[str] = set()
    for node in _executed(parsed(path).body):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {target for alias in node.names for target in _targets(node, alias.name)}
    return found & set(modules())


def _executed(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run when a module is imported, blocks opened, type checking left out."""
    for node in body:
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.If | ast.Try | ast.With):
            yield from _executed(node.body)
            yield from _executed(getattr(node, "orelse", []))


def is_command(path: Path) -> bool:
    """Whether a file is meant to be run: it ends in the guard of a main."""
    return any(
        isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"
        for node in parsed(path).body
    )


def docstrings(tree: ast.Module) -> set[int]:
    """Return the ids of string nodes that only document: docstrings and texts beneath fields."""
    return {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def literals(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and value of every string literal, pieces of f-strings included, docs excluded."""
    tree = parsed(path)
    documenting = docstrings(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or id(node) in documenting:
            continue
        if isinstance(node.value, str):
            yield node.lineno, node.value


def tracked() -> list[Path]:
    """Return every file that git tracks."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
