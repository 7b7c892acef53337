"""One documented member of a module, however it was read."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["module", "class", "function", "coroutine", "method", "property"]


@dataclass(frozen=True, slots=True)
class Member:
    """A class, function, method or property together with its docstring."""

    name: str
    """Dotted name inside the module: ``copytree``, ``Path.glob``; empty for the module itself."""
    kind: Kind
    """What it is."""
    signature: str
    """``(src, dst, ...)`` with the parentheses; empty for modules and properties."""
    doc: str
    """Docstring with its indentation removed; never blank."""
    line: int | None
    """Line of the source where it starts; None for compiled members."""
    source: str = ""
    """Module whose file the line counts in; empty for compiled members."""

    @property
    def root(self) -> str:
        """Return the top-level name that it belongs to: ``Path`` of ``Path.glob``."""
        return self.name.partition(".")[0]
