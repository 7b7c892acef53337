"""``python -m services.mapper.predict FILE``: texts of a file through a component that need not be deployed.

Asked for by `trimtab mapper predict`. The rules are not asked: it is the model that is looked at.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from services.mapper.alone import add_alone
from services.mapper.alone import vectors as vectors_of
from services.mapper.command import add_json, finish, report
from services.mapper.definitions.document import DefinitionInvalid
from services.mapper.model.component import Component, load_component
from services.mapper.model.network import Array
from services.mapper.reporting import find
from trimtab.contracts.mapping import UNKNOWN
from trimtab.corpus.vectors import add_options
from trimtab.supervisor.home import Home

_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Text:
    """One row of the file."""

    id: str
    """As it was given."""
    text: str
    """What is mapped."""


def read_texts(path: Path) -> list[Text]:
    """Read rows ``{id, text}``; other keys are left alone.

    Raises:
        DefinitionInvalid: the file cannot be read or holds none, or a row lacks id or text.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionInvalid(path, "file", f"cannot be read ({type(error).__name__})") from None
    found = [_text(path, n, line) for n, line in enumerate(lines, start=1) if line.strip()]
    if not found:
        raise DefinitionInvalid(path, "file", "holds no row; give JSONL rows {id, text}")
    return found


def _text(path: Path, number: int, line: str) -> Text:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DefinitionInvalid(path, f"line {number}", f"is not JSON: {error.msg}") from None
    values = {key: row.get(key) if isinstance(row, dict) else None for key in ("id", "text")}
    if not all(isinstance(value, str) and value.strip() for value in values.values()):
        raise DefinitionInvalid(path, f"line {number}", "id and text must be non-empty texts")
    return Text(id=str(values["id"]), text=str(values["text"]))


def answers(
    component: Component, texts: Sequence[Text], vectors: Array, threshold: float, top: int
) -> list[dict[str, Any]]:
    """Return ``{id, taxonomy, confidence, decided_by}`` of each text, labels best first."""
    adapter, found = component.adapter, []
    for start in range(0, len(texts), _AT_ONCE):
        some = texts[start : start + _AT_ONCE]
        logits = adapter.logits(vectors[start : start + _AT_ONCE], [each.text for each in some])
        sure = adapter.calibration.confidence(logits)
        best = np.argsort(-logits, axis=1, kind="stable")[:, :top]
        for each, confidence, places in zip(some, sure.tolist(), best, strict=True):
            known = confidence >= threshold
            labels = [adapter.labels[place] for place in places] if known else [UNKNOWN]
            found.append(
                {
                    "id": each.id,
                    "taxonomy": labels,
                    "confidence": round(confidence, 6),
                    "decided_by": "unknown" if labels[0] == UNKNOWN else "model",
                }
            )
    return found


async def run(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Answer as the command line says."""
    texts = read_texts(given.file)
    component = load_component(find(given.adapter, Home.find().root / "adapters"))
    given.namespace = component.card.namespace
    report(f"{component.reference}: {len(texts)} texts")
    vectors = await vectors_of(given, [each.text for each in texts], report)
    return answers(component, texts, vectors, given.threshold, given.top)


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(prog="python -m services.mapper.predict", description=__doc__)
    made.add_argument("file", type=Path, help="JSONL rows {id, text}")
    made.add_argument("--adapter", required=True, help="folder, or name@version in the home")
    made.add_argument("--threshold", type=float, default=0.0, help="below it nobody knows")
    made.add_argument("--top", type=int, default=3, help="labels per row")
    add_json(made)
    add_options(made)
    add_alone(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 1 with one line on stderr when it cannot be done."""
    given = parser().parse_args(argv)

    def work() -> tuple[Any, list[str]]:
        found = asyncio.run(run(given))
        if given.json:
            return None, [json.dumps(row) for row in found]
        rows = [
            f"{row['id']}  {row['confidence']:.3f}  {' '.join(row['taxonomy'])}" for row in found
        ]
        return None, rows

    return finish(work, as_json=given.json)


if __name__ == "__main__":
    sys.exit(main())
