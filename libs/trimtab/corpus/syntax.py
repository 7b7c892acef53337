"""Members and re-exports of a module, read from its syntax tree: the module is never executed."""

import ast
import inspect
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from trimtab.corpus import aliases
from trimtab.corpus.member import Kind, Member

_FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Reexport:
    """``from module import names``: a name that is defined elsewhere and shown here."""

    module: str
    """Absolute name of the module that defines it."""
    names: tuple[str, ...]
    """The imported names; ``("*",)`` takes all public ones."""


@dataclass(frozen=True, slots=True)
class ModuleSyntax:
    """What one source file says about itself."""

    name: str
    """Absolute module name."""
    members: tuple[Member, ...]
    """Documented public members in source order, the module's own docstring first."""
    reexports: tuple[Reexport, ...]
    """Names taken over from other modules."""
    exported: frozenset[str] | None
    """``__all__`` when it is written as a plain list; None when it is absent or computed."""

    def exports(self, name: str) -> bool:
        """Return whether ``from module import *`` would take this top-level name."""
        if self.exported is not None:
            return name in self.exported
        return bool(name) and not name.startswith("_")


def read(name: str, source: bytes, *, is_package: bool) -> ModuleSyntax:
    """Parse one source file.

    Raises:
        SyntaxError: the bytes are not Python of the running version.
    """
    # An old escape sequence in somebody's docstring is no news to our users.
    with warnings.catch_warnings(action="ignore"):
        tree = ast.parse(source)
    body = list(_flat(tree.body))
    members = list(_module_members(tree, body))
    members += aliases.members(body, members)
    members.sort(key=lambda member: member.line or 0)
    return ModuleSyntax(
        name=name,
        members=tuple(replace(member, source=name) for member in members),
        reexports=tuple(_reexports(body, name if is_package else name.rpartition(".")[0])),
        exported=_exported(body),
    )


def _flat(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield statements, looking into ``if``, ``try`` and ``with``: definitions often stand there."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try | ast.With):
            yield from _flat(node.body)
            for handler in getattr(node, "handlers", []):
                yield from _flat(handler.body)
            yield from _flat(getattr(node, "orelse", []))


def _module_members(tree: ast.Module, body: list[ast.stmt]) -> Iterator[Member]:
    doc = _doc(tree)
    if doc:
        yield Member("", "module", "", doc, 1)
    seen: set[str] = set()
    for node in body:
        for member in _members_of(node, prefix=""):
            if member.name not in seen:
                seen.add(member.name)
                yield member


def _members_of(node: ast.stmt, prefix: str) -> Iterator[Member]:
    if not isinstance(node, ast.ClassDef | _FunctionNode) or node.name.startswith("_"):
        return
    name = prefix + node.name
    if isinstance(node, ast.ClassDef):
        yield from _class_members(node, name)
    elif doc := _doc(node):
        kind = _function_kind(node, inside_class=bool(prefix))
        signature = (
            "" if kind == "property" else _signature(node, drop_first=_is_bound(node, prefix))
        )
        yield Member(name, kind, signature, doc, node.lineno)


def _class_members(node: ast.ClassDef, name: str) -> Iterator[Member]:
    constructor = _constructor(node)
    doc = _doc(node) or (_doc(constructor) if constructor else "")
    if doc:
        signature = _signature(constructor, drop_first=True) if constructor else ""
        yield Member(name, "class", signature, doc, node.lineno)
    for child in _flat(node.body):
        yield from _members_of(child, prefix=f"{name}.")


def _doc(node: ast.Module | ast.ClassDef | _FunctionNode) -> str:
    return inspect.cleandoc(ast.get_docstring(node, clean=False) or "").strip()


def _decorators(node: _FunctionNode) -> set[str]:
    return {ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list}


def _function_kind(node: _FunctionNode, *, inside_class: bool) -> Kind:
    if _decorators(node) & {"property", "cached_property"}:
        return "property"
    if inside_class:
        return "method"
    return "coroutine" if isinstance(node, ast.AsyncFunctionDef) else "function"


def _is_bound(node: _FunctionNode, prefix: str) -> bool:
    return bool(prefix) and "staticmethod" not in _decorators(node)


def _constructor(node: ast.ClassDef) -> ast.FunctionDef | None:
    found = (n for n in _flat(node.body) if isinstance(n, ast.FunctionDef) and n.name == "__init__")
    return next(found, None)


def _signature(node: _FunctionNode, *, drop_first: bool) -> str:
    """Return the parameters without annotations: what a reader would type."""
    arguments = node.args
    for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
        argument.annotation = None
    for star in (arguments.vararg, arguments.kwarg):
        if star is not None:
            star.annotation = None
    if drop_first:
        del (arguments.posonlyargs or arguments.args)[:1]
    return f"({ast.unparse(arguments)})"


def _reexports(body: list[ast.stmt], package: str) -> Iterator[Reexport]:
    for node in body:
        if isinstance(node, ast.ImportFrom):
            module = _absolute(node, package)
            kept = tuple(alias.name for alias in node.names if alias.asname in (None, alias.name))
            yield Reexport(module, kept)


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parents = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*parents, node.module] if node.module else parents)


def _exported(body: list[ast.stmt]) -> frozenset[str] | None:
    for node in body:
        if isinstance(node, ast.Assign) and _assigns_all(node):
            return _literal_names(node.value)
    return None


def _assigns_all(node: ast.Assign) -> bool:
    return any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets)


def _literal_names(value: ast.expr) -> frozenset[str] | None:
    if not isinstance(value, ast.List | ast.Tuple):
        return None
    constants = [item.value for item in value.elts if isinstance(item, ast.Constant)]
    return frozenset(item for item in constants if isinstance(item, str))
