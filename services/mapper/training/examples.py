"""Labelled examples: what outputs and texts of each label look like.

One JSONL file per detector, ``text.jsonl`` for free text; rows ``{id, text, label|labels, group}``.
Rows of one ``group`` say the same thing in other words, and no split ever parts them.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.mapper.definitions.document import DefinitionInvalid
from services.mapper.definitions.taxonomy import Taxonomy
from trimtab.contracts.mapping import FREE_TEXT, parts_of, text_of

_CODE = re.compile(r"\b[A-Z]\d{1,2}\b")
"""``S10`` means something within its detector only; a model that learns it would guess elsewhere."""

_KEYS = {"id", "text", "label", "labels", "group"}


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled output."""

    id: str
    """Unique over all files."""
    detector: str
    """Who said it; ``text`` for free text."""
    output: str
    """What was said, as it came."""
    labels: tuple[str, ...]
    """What it means; several for an aggregate."""
    group: str
    """Paraphrase family."""

    @property
    def text(self) -> str:
        """What the encoder is given for a one-part output."""
        return text_of(self.detector, self.output)

    @property
    def teaches(self) -> bool:
        """True when the model can learn from it: one part, one label, words and no code."""
        return (
            len(self.labels) == 1
            and len(parts_of(self.output)) == 1
            and (self.detector == FREE_TEXT or not _CODE.search(self.output))
        )


def load_examples(folder: Path, taxonomy: Taxonomy) -> tuple[Example, ...]:
    """Read every ``*.jsonl`` of a folder, in the order of file names and lines; a file alone is free text.

    Raises:
        DefinitionInvalid: a row does not parse, has an unknown or missing key, a label that the
            taxonomy does not have, or an id that stands twice; says file and line.
    """
    examples: dict[str, Example] = {}
    for path in [folder] if folder.is_file() else sorted(folder.glob("*.jsonl")):
        detector = FREE_TEXT if path == folder else path.stem
        for example in read_examples(path, detector, taxonomy):
            if example.id in examples:
                raise DefinitionInvalid(path, example.id, "this id stands twice")
            examples[example.id] = example
    if not examples:
        raise DefinitionInvalid(folder, "file", "holds no examples; give JSONL rows")
    return tuple(examples.values())


def read_examples(path: Path, detector: str, taxonomy: Taxonomy) -> list[Example]:
    """Read one file of examples; raises DefinitionInvalid like :func:`load_examples`."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionInvalid(path, "file", f"cannot be read ({type(error).__name__})") from None
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"line {number}"
        row = _row(path, where, line)
        labels = row["labels"] if "labels" in row else [row.get("label")]
        if not isinstance(labels, list) or not labels:
            raise DefinitionInvalid(path, where, "labels must be a non-empty list")
        for label in labels:
            if label not in taxonomy.labels:
                raise DefinitionInvalid(path, where, f"{label!r} is no label of {taxonomy.name}")
        found.append(Example(row["id"], detector, row["text"], tuple(labels), row["group"]))
    return found


def _row(path: Path, where: str, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DefinitionInvalid(path, where, f"is not JSON: {error.msg}") from None
    if not isinstance(row, dict) or set(row) - _KEYS or ("label" in row) == ("labels" in row):
        raise DefinitionInvalid(path, where, "needs id, text, group and either label or labels")
    for key in ("id", "text", "group"):
        if not isinstance(row.get(key), str) or (key != "text" and not row[key].strip()):
            raise DefinitionInvalid(path, where, f"{key} must be a text")
    return row


def content_hash(examples: tuple[Example, ...]) -> str:
    """Return the first 12 hex digits of a sha256 over all rows, in order."""
    rows = [[e.id, e.detector, e.output, e.labels, e.group] for e in examples]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:12]


def training_set(examples: tuple[Example, ...]) -> tuple[Example, ...]:
    """Return the rows that teach, one per distinct (text, label), free text first."""
    ordered = sorted(examples, key=lambda e: e.detector != FREE_TEXT)
    distinct: dict[tuple[str, str], Example] = {}
    for example in ordered:
        if example.teaches:
            distinct.setdefault((example.text.casefold(), example.labels[0]), example)
    return tuple(distinct.values())
