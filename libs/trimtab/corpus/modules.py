"""Which modules of the standard library exist here, and where their source lies; imports none of them."""

import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import PathFinder, SourceFileLoader
from pathlib import Path

from trimtab.corpus.syntax import ModuleSyntax, read

SKIPPED = frozenset(
    {"test", "idlelib", "lib2to3", "antigravity", "this", "turtledemo", "pydoc_data", "distutils"}
    | {"encodings", "ensurepip", "genericpath", "posixpath", "ntpath", "__phello__", "__hello__"}
)
"""Top-level modules that hold tests, demos, jokes, data, what Python 3.12 removed, or ``os.path`` itself."""

_SKIPPED_INSIDE = frozenset({"test", "tests", "__main__", "__pycache__", "_vendor"})


@dataclass(frozen=True, slots=True)
class SourceFile:
    """Where one module's source lies."""

    name: str
    path: Path
    is_package: bool


class StandardLibrary:
    """The source files of the running interpreter, each parsed at most once."""

    def __init__(self) -> None:
        root = sysconfig.get_path("stdlib")
        # The folders of the interpreter itself: a user's own `random.py` must not shadow it.
        self._path = [root, str(Path(root) / "lib-dynload")]
        self._parsed: dict[str, ModuleSyntax | None] = {}

    def names(self) -> list[str]:
        """Return every public module name, submodules included, sorted."""
        tops = (top for top in sys.stdlib_module_names if top not in SKIPPED)
        found = (name for top in tops for name in self._walk(top))
        return sorted({name for name in found if is_public(name)} | {"os.path"})

    def syntax(self, name: str) -> ModuleSyntax | None:
        """Return what a module's source says; None when it has none or it does not parse."""
        if name not in self._parsed:
            self._parsed[name] = self._read(name)
        return self._parsed[name]

    def _read(self, name: str) -> ModuleSyntax | None:
        source = self.source(name)
        if source is None:
            return None
        try:
            return read(name, source.path.read_bytes(), is_package=source.is_package)
        except (SyntaxError, ValueError, OSError):
            # A distribution may ship templates or broken test data beside its modules.
            return None

    def source(self, name: str) -> SourceFile | None:
        """Return where the source of a module lies; None for compiled and unknown ones."""
        top, *rest = name.split(".")
        spec = PathFinder.find_spec(top, self._path)
        if spec is None or spec.origin is None or not isinstance(spec.loader, SourceFileLoader):
            return None
        path = Path(spec.origin)
        is_package = path.name == "__init__.py"
        for part in rest:
            if not is_package:
                return None
            folder = path.parent / part
            is_package = (folder / "__init__.py").is_file()
            path = folder / "__init__.py" if is_package else folder.with_suffix(".py")
        return SourceFile(name, path, is_package) if path.is_file() else None

    def _walk(self, name: str) -> Iterator[str]:
        yield name
        source = self.source(name)
        if source is None or not source.is_package:
            return
        for child in sorted(source.path.parent.iterdir()):
            if child.stem in _SKIPPED_INSIDE or child.name == "__init__.py":
                continue
            if child.suffix == ".py":
                yield f"{name}.{child.stem}"
            elif (child / "__init__.py").is_file():
                yield from self._walk(f"{name}.{child.name}")


def is_public(name: str) -> bool:
    """Return whether no part of a dotted module name starts with an underscore."""
    return not any(part.startswith("_") for part in name.split("."))
