"""Label sets as their authors publish them, one JSON object per line, turned into a taxonomy document. Pure.

A row is ``{id, name, description}`` and may name a ``parent``, ``tactics`` and ``aliases``; MITRE ATT&CK's
techniques are such rows, and every one of them serves a tactic.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.mapper.definitions.document import DefinitionInvalid
from services.mapper.definitions.names import normalise
from services.mapper.definitions.taxonomy import LABEL_NAME
from trimtab.contracts.mapping import UNKNOWN

_KEYS = ("id", "name", "description", "parent", "tactics", "aliases")

_REST = {
    "description": "What belongs to no other label.",
    "labels": {
        UNKNOWN: {"description": "Nothing that this taxonomy has a name for.", "vague": True}
    },
}


@dataclass(frozen=True, slots=True)
class Published:
    """One row."""

    id: str
    """Becomes the label: ``T1001.002``."""
    name: str
    """Becomes its title."""
    description: str
    """What it covers."""
    parent: str = ""
    """Id of the more general row; empty at the top."""
    tactics: tuple[str, ...] = ()
    """What it is done for."""
    aliases: tuple[str, ...] = ()
    """Other names of exactly this row."""


def read_published(path: Path, *, tactics: bool = False) -> list[Published]:
    """Read every row of a JSONL file; with ``tactics`` each must serve one.

    Raises:
        DefinitionInvalid: a row does not parse, lacks a key, has one that is not known, an id that
            is no label name or stands twice, or a parent that is not there; says file and line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionInvalid(path, "file", f"cannot be read ({type(error).__name__})") from None
    rows: dict[str, Published] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip():
            row = _row(path, f"line {number}", line, tactics)
            if row.id in rows:
                raise DefinitionInvalid(path, f"line {number}", f"the id {row.id} stands twice")
            rows[row.id] = row
    if not rows:
        raise DefinitionInvalid(path, "file", "holds no row; give a JSONL file of labels")
    for row in rows.values():
        if row.parent and row.parent not in rows:
            raise DefinitionInvalid(path, row.id, f"its parent {row.parent} is no row of this file")
    return list(rows.values())


def _row(path: Path, where: str, line: str, tactics: bool) -> Published:
    try:
        values = json.loads(line)
    except json.JSONDecodeError as error:
        raise DefinitionInvalid(path, where, f"is not JSON: {error.msg}") from None
    if not isinstance(values, dict):
        raise DefinitionInvalid(path, where, "must be a JSON object")
    for key in values:
        if key not in _KEYS:
            raise DefinitionInvalid(path, where, f"unknown key {key}; known: {', '.join(_KEYS)}")
    texts: dict[str, Any] = {
        key: _text(path, where, values, key) for key in ("id", "name", "description")
    }
    if not LABEL_NAME.fullmatch(texts["id"]):
        problem = f"the id {texts['id']} is no label name: capitals and digits first, then .Parts"
        raise DefinitionInvalid(path, where, problem)
    served = _texts(path, where, values, "tactics")
    if tactics and not served:
        raise DefinitionInvalid(path, where, f"{texts['id']} serves no tactic")
    return Published(
        **texts,
        parent=_text(path, where, values, "parent") if values.get("parent") is not None else "",
        tactics=served,
        aliases=_texts(path, where, values, "aliases"),
    )


def _text(path: Path, where: str, values: Mapping[str, Any], key: str) -> str:
    value = values.get(key)
    if not isinstance(value, str) or not value.strip():
        raise DefinitionInvalid(path, where, f"{key} must be a non-empty text")
    return value.strip()


def _texts(path: Path, where: str, values: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = values.get(key) or []
    if not isinstance(value, list) or not all(isinstance(v, str) and v.strip() for v in value):
        raise DefinitionInvalid(path, where, f"{key} must be a list of non-empty texts")
    return tuple(item.strip() for item in value)


def document(rows: Sequence[Published], name: str, version: str) -> dict[str, Any]:
    """Return the taxonomy of some rows as the YAML file says it, families by the first part of an id."""
    known = {row.id: row for row in rows}
    aliases = _aliases(rows, known)
    families: dict[str, Any] = {}
    for row in rows:
        family = row.id.split(".")[0]
        title = known[family].name if family in known else family
        place = families.setdefault(family, {"description": title, "labels": {}})
        place["labels"][row.id] = _label(row, aliases[row.id])
    if UNKNOWN not in known:
        rest = families.setdefault("OTHER", {"description": _REST["description"], "labels": {}})
        rest["labels"].update(_REST["labels"])
    served = {tactic: None for row in rows for tactic in row.tactics}
    top: dict[str, Any] = {"name": name, "version": version}
    if served:
        top["tactics"] = {tactic: tactic.replace("-", " ") for tactic in served}
    return {**top, "families": families}


def _label(row: Published, aliases: Sequence[str]) -> dict[str, Any]:
    label: dict[str, Any] = {"title": row.name, "description": row.description}
    told = {"aliases": list(aliases), "parent": row.parent, "tactics": list(row.tactics)}
    return {**label, **{key: value for key, value in told.items() if value}}


def _aliases(rows: Sequence[Published], known: Mapping[str, Published]) -> dict[str, list[str]]:
    """Return each row's names that are nobody else's: its own, with its parent's before it, others."""
    named = {row.id: [row.name, *row.aliases] for row in rows}
    for row in rows:
        if row.parent:
            named[row.id].append(f"{known[row.parent].name}: {row.name}")
    owners = Counter(key for names in named.values() for key in {normalise(n) for n in names})
    taken = {normalise(row.id) for row in rows}
    return {
        row: [n for n in names if (k := normalise(n)) and owners[k] == 1 and k not in taken]
        for row, names in named.items()
    }
