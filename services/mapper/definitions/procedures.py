"""MITRE ATT&CK's procedure examples as examples to train on: who did what, and which technique that is. Pure.

What one actor did is one group, which no split parts: its reports share authors and phrases.
"""

import json
from pathlib import Path
from typing import Any

from services.mapper.definitions.document import DefinitionInvalid
from services.mapper.definitions.taxonomy import Taxonomy

_KEYS = ("id", "text", "technique", "actor")


def read_procedures(path: Path, taxonomy: Taxonomy) -> list[dict[str, str]]:
    """Return rows ``{id, text, label, group}`` of a JSONL file of ``{id, text, technique, actor}``.

    Raises:
        DefinitionInvalid: it cannot be read, a row does not parse or lacks a key, or names a
            technique that the taxonomy does not have; says file and line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionInvalid(path, "file", f"cannot be read ({type(error).__name__})") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            row = _row(path, f"line {number}", line)
            if row["technique"] not in taxonomy.labels:
                problem = f"{row['technique']!r} is no label of {taxonomy.name}"
                raise DefinitionInvalid(path, f"line {number}", problem)
            kept = {"id": row["id"], "text": row["text"]}
            rows.append(kept | {"label": row["technique"], "group": row["actor"]})
    return rows


def _row(path: Path, where: str, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DefinitionInvalid(path, where, f"is not JSON: {error.msg}") from None
    for key in _KEYS:
        value = row.get(key) if isinstance(row, dict) else None
        if not isinstance(value, str) or not value.strip():
            raise DefinitionInvalid(path, where, f"{key} must be a non-empty text")
    return dict(row)
