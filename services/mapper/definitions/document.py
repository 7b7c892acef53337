"""Definitions on disk: YAML read without surprises.

Repeated keys, unknown keys and values of the wrong kind are refused with the file and the key, so
that a typing error never becomes a silent default.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


class DefinitionInvalid(ValueError):
    """A definition file says something that it must not; the message names file, key and remedy."""

    def __init__(self, file: Path | str, key: str, problem: str) -> None:
        name = file.name if isinstance(file, Path) else file
        super().__init__(f"{name}: {key}: {problem}")
        self.file, self.key, self.problem = name, key, problem


class _Loader(yaml.CSafeLoader):
    """The safe loader in C, as a taxonomy may be a megabyte, refusing a key that stands twice in one mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


@dataclass(frozen=True, slots=True)
class Section:
    """One mapping of a definition file, with where it stands for the error messages."""

    file: str
    """File name, without its folder."""
    key: str
    """Dotted path of keys down to here; empty at the top."""
    values: dict[str, Any]
    """What stands there."""

    def only(self, *known: str) -> "Section":
        """Return self; raises DefinitionInvalid when a key is none of ``known``."""
        for key in self.values:
            if key not in known:
                raise self.wrong(key, f"unknown key; known here: {', '.join(known)}")
        return self

    def text(self, key: str, default: str | None = None) -> str:
        """Return the non-blank text under ``key``; raises DefinitionInvalid for anything else."""
        value = self.values.get(key, default)
        if not isinstance(value, str) or (not value.strip() and value != default):
            raise self.wrong(key, "must be a non-empty text; quote numbers and yes/no")
        return value.strip()

    def integer(self, key: str, default: int) -> int:
        """Return the whole number under ``key``."""
        value = self.values.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.wrong(key, "must be a whole number")
        return value

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Return the true or false under ``key``."""
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "must be true or false")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return the list of texts under ``key``; one text alone counts as a list of one."""
        value = self.values.get(key, [])
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or not all(
            isinstance(item, str) and item.strip() for item in items
        ):
            raise self.wrong(key, "must be a list of non-empty texts; quote numbers and yes/no")
        return tuple(item.strip() for item in items)

    def section(self, key: str) -> "Section":
        """Return the mapping under ``key``; empty when absent."""
        value = self.values.get(key, {})
        return self._mapping(value, key)

    def sections(self, key: str) -> list["Section"]:
        """Return the list of mappings under ``key``; empty when absent."""
        value = self.values.get(key, [])
        if not isinstance(value, list):
            raise self.wrong(key, "must be a list of mappings")
        return [self._mapping(item, f"{key}[{index}]") for index, item in enumerate(value)]

    def wrong(self, key: str, problem: str) -> DefinitionInvalid:
        """Return, not raise, the error for a key of this section."""
        return DefinitionInvalid(self.file, self._path(key), problem)

    def _mapping(self, value: object, key: str) -> "Section":
        if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
            raise self.wrong(key, "must be a mapping whose keys are texts; quote numbers")
        return Section(self.file, self._path(key), value)

    def _path(self, key: str) -> str:
        return f"{self.key}.{key}" if self.key and key else self.key or key


def read_section(path: Path) -> Section:
    """Read a YAML file whose top is a mapping.

    Raises:
        DefinitionInvalid: it is missing, no YAML, or its top is no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
        values = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader that is stricter
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionInvalid(path, "file", f"cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise DefinitionInvalid(path, "file", f"is not valid YAML: {error}") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise DefinitionInvalid(path, "file", "must be a mapping whose keys are texts")
    return Section(path.name, "", values)
