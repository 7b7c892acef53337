"""The shipped search corpus: the standard library of the running interpreter, from its docstrings.

A module is an article, its documented members in order are the passages. Nothing is copied into the
project and no module is executed to read it, except compiled ones of a closed list.
"""

from collections.abc import Iterable, Iterator

from trimtab.contracts.documents import MAX_TEXT_CHARS, Document
from trimtab.corpus import compiled
from trimtab.corpus.member import Member
from trimtab.corpus.modules import StandardLibrary, is_public
from trimtab.corpus.syntax import ModuleSyntax

COLLECTION = "stdlib"
"""Name of the collection that `trimtab up` fills with it."""

_BEHIND = {"os.path": ("posixpath", "genericpath")}
"""Modules with a public name whose source carries another one."""

_MAX_TITLE = 512


def documents(modules: Iterable[str] | None = None) -> Iterator[Document]:
    """Yield the passages of the given modules and their submodules, or of all public ones.

    The order is that of the module names, then the source's; two runs of one interpreter agree.

    Raises:
        ValueError: a name is no public module of the standard library.
    """
    library = StandardLibrary()
    # `unittest.main` is a class of one module and the name of another: the parent comes first and keeps it.
    seen: set[str] = set()
    for module in _chosen(library.names(), modules):
        for member in members_of(library, module):
            document = _document(module, member)
            if document.id not in seen:
                seen.add(document.id)
                yield document


def members_of(library: StandardLibrary, module: str) -> Iterator[Member]:
    """Yield a public module's members under the names that users import, each once."""
    seen: set[str] = set()
    for member in _all_members(library, module):
        if member.name not in seen:
            seen.add(member.name)
            yield member


def _chosen(known: list[str], wanted: Iterable[str] | None) -> list[str]:
    if wanted is None:
        return known
    names = sorted(set(wanted))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(
            f"no public standard library module: {', '.join(unknown)}; "
            "write module names such as shutil or os.path"
        )
    return [n for n in known if any(n == name or n.startswith(f"{name}.") for name in names)]


def _all_members(library: StandardLibrary, module: str) -> Iterator[Member]:
    syntax = library.syntax(module)
    if syntax is not None:
        taken = _taken_by_parent(library, module)
        yield from (member for member in syntax.members if member.root not in taken)
        for reexport in syntax.reexports:
            if _is_behind(module, reexport.module):
                source = library.syntax(reexport.module)
                yield from _named(source, reexport.names)
    for behind in _BEHIND.get(module, ()):
        source = library.syntax(behind)
        yield from source.members if source is not None else ()
    yield from compiled.members(module)


def _is_behind(module: str, source: str) -> bool:
    """Return whether ``source`` is a private part or a submodule of ``module``, shown to users here."""
    return source.startswith(f"{module}.") or (not is_public(source) and source != "__future__")


def _named(source: ModuleSyntax | None, names: tuple[str, ...]) -> Iterator[Member]:
    if source is None:
        return
    for member in source.members:
        if member.root and (source.exports(member.root) if "*" in names else member.root in names):
            yield member


def _taken_by_parent(library: StandardLibrary, module: str) -> set[str]:
    """Return the names that a parent package shows as its own: ``asyncio.tasks.gather`` is ``asyncio.gather``."""
    taken: set[str] = set()
    parent = module.rpartition(".")[0]
    while parent:
        syntax = library.syntax(parent)
        for reexport in syntax.reexports if syntax is not None else ():
            if reexport.module == module:
                taken.update(m.root for m in _named(library.syntax(module), reexport.names))
        parent = parent.rpartition(".")[0]
    return taken


def _document(module: str, member: Member) -> Document:
    name = qualified(module, member.name)
    metadata = {"module": module, "kind": member.kind}
    if member.line is not None:
        metadata |= {"line": str(member.line), "source": member.source}
    return Document(
        id=name,
        text=member.doc[:MAX_TEXT_CHARS],
        title=(name + member.signature)[:_MAX_TITLE],
        article=module,
        metadata=metadata,
    )


def qualified(module: str, name: str) -> str:
    """Return what a user types: ``shutil.copytree``, but ``str.split`` without ``builtins``."""
    if not name:
        return module
    return name if module == "builtins" else f"{module}.{name}"
