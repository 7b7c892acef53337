"""A detector's file with the line of everything in it: what a linter reads where the loader stops at its first error. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from services.mapper.definitions.names import normalise


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that should be otherwise."""

    file: str
    """Name of the file."""
    line: int
    """Counted from 1."""
    code: str
    """Which rule found it."""
    problem: str
    """What is wrong and what to do."""
    fixable: bool = False
    """Whether ``detectors fix`` repairs it."""

    def text(self) -> str:
        """Return it as compilers write: ``file:line: code problem``."""
        return f"{self.file}:{self.line}: {self.code}: {self.problem}"


@dataclass(frozen=True, slots=True)
class Name:
    """A key of the labels or aliases, with what it means."""

    name: str
    """As written."""
    line: int
    """Where it stands."""
    means: tuple[tuple[str, int], ...]
    """Values with their lines."""

    @property
    def key(self) -> str:
        """The name in even spelling."""
        return normalise(self.name)

    @property
    def values(self) -> tuple[str, ...]:
        """What it means."""
        return tuple(value for value, _ in self.means)


@dataclass(frozen=True, slots=True)
class Sheet:
    """The file."""

    file: str
    """Its name."""
    lines: tuple[str, ...]
    """Without line ends."""
    keys: dict[str, int]
    """Top-level key -> line, in the order of the file."""
    texts: dict[str, str]
    """Top-level keys with one value."""
    labels: tuple[Name, ...]
    aliases: tuple[Name, ...]
    patterns: tuple[tuple[str, str, int], ...]
    """Expression, label and line of each."""
    severity: dict[str, list[str]] | None
    """Its lists and values; None without one."""
    repeated: tuple[tuple[str, int], ...] = field(default=())
    """Keys that stand twice in one mapping, with the later line."""


class Unreadable(ValueError):
    """It is no YAML mapping; holds the line."""

    def __init__(self, problem: str, line: int) -> None:
        super().__init__(problem)
        self.line = line


def read_sheet(text: str, file: str) -> Sheet:
    """Return the parts of a file.

    Raises:
        Unreadable: it is no YAML, or its top is no mapping.
    """
    try:
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise Unreadable(f"is not valid YAML: {error.problem}", line) from None
    if not isinstance(root, yaml.MappingNode):
        raise Unreadable("must be a mapping", 1)
    top = {_text(key): value for key, value in root.value}
    severity = top.get("severity")
    return Sheet(
        file=file,
        lines=tuple(text.splitlines()),
        keys={_text(key): _line(key) for key, _ in root.value},
        texts={k: v.value.strip() for k, v in top.items() if isinstance(v, yaml.ScalarNode)},
        labels=tuple(_names(top.get("labels"))),
        aliases=tuple(_names(top.get("aliases"))),
        patterns=tuple(_patterns(top.get("patterns"))),
        severity=_lists(severity) if isinstance(severity, yaml.MappingNode) else None,
        repeated=tuple(_repeated(root)),
    )


def _names(node: yaml.Node | None) -> Iterator[Name]:
    for key, value in node.value if isinstance(node, yaml.MappingNode) else []:
        items = value.value if isinstance(value, yaml.SequenceNode) else [value]
        yield Name(_text(key), _line(key), tuple((_text(item), _line(item)) for item in items))


def _patterns(node: yaml.Node | None) -> Iterator[tuple[str, str, int]]:
    for item in node.value if isinstance(node, yaml.SequenceNode) else []:
        if isinstance(item, yaml.MappingNode):
            told = {_text(key): _text(value) for key, value in item.value}
            yield told.get("pattern", ""), told.get("label", ""), _line(item)


def _lists(node: yaml.MappingNode) -> dict[str, list[str]]:
    return {
        _text(key): [_text(v) for v in value.value]
        if isinstance(value, yaml.SequenceNode)
        else [_text(value)]
        for key, value in node.value
    }


def _repeated(node: yaml.Node) -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if _text(key) in seen:
                yield _text(key), _line(key)
            seen.add(_text(key))
            yield from _repeated(value)


def _text(node: yaml.Node) -> str:
    return str(node.value).strip() if isinstance(node, yaml.ScalarNode) else ""


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
