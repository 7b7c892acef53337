"""``python -m services.mapper.taxonomy_import FILE``: a label set from elsewhere becomes a taxonomy of ours.

Asked for by `trimtab mapper taxonomy import`; needs no deployment. What it writes is read back and
checked like any taxonomy before it stands under its name.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from services.mapper.command import add_json, finish, report
from services.mapper.definitions.document import DefinitionInvalid
from services.mapper.definitions.procedures import read_procedures
from services.mapper.definitions.published import document, read_published
from services.mapper.definitions.taxonomy import Taxonomy, load_taxonomy
from trimtab.supervisor.home import Home

_WIDTH = 100


class Source(StrEnum):
    """How a file says its labels."""

    ATTACK = "attack"
    """JSONL rows of MITRE ATT&CK techniques: id, name, tactics, parent, description."""
    JSONL = "jsonl"
    """JSONL rows: id, name, description, and a parent, tactics, aliases where there are any."""
    YAML = "yaml"
    """A taxonomy as the shipped one is written."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What was written."""

    taxonomy: Taxonomy
    """As it is read from the file."""
    file: Path
    """Its YAML file."""
    examples: Path | None
    """Examples written beside it."""
    rows: int
    """Of the examples."""

    def shape(self) -> dict[str, Any]:
        """Return it for scripts."""
        labels = self.taxonomy.labels.values()
        return {
            "taxonomy": self.taxonomy.name,
            "version": self.taxonomy.version,
            "hash": self.taxonomy.hash,
            "reference": self.taxonomy.reference,
            "labels": len(labels),
            "children": sum(bool(label.parent) for label in labels),
            "tactics": len(self.taxonomy.tactics),
            "file": str(self.file),
            "examples": {"file": str(self.examples), "rows": self.rows} if self.examples else None,
        }

    def lines(self) -> list[str]:
        """Return it for people."""
        shape = self.shape()
        lines = [
            f"{shape['reference']}: {shape['labels']} labels, {shape['children']} below another, "
            f"{shape['tactics']} tactics",
            f"wrote {self.file}",
        ]
        return [*lines, f"wrote {self.examples}, {self.rows} examples"] if self.examples else lines


def import_taxonomy(
    file: Path, source: Source, name: str, version: str, out: Path, say: Callable[[str], None]
) -> tuple[Taxonomy, Path]:
    """Write ``out/NAME.yaml`` and return it as it is read back.

    Raises:
        DefinitionInvalid: the file does not hold what ``source`` says; tells file, line or key.
    """
    if source is Source.YAML:
        content = _own(file, name)
        name = name or load_taxonomy(file).name
    else:
        rows = read_published(file, tactics=source is Source.ATTACK)
        say(f"{file.name}: {len(rows)} rows")
        name = name or (source.value if source is Source.ATTACK else file.stem)
        made = document(rows, name, version)
        content = yaml.safe_dump(made, sort_keys=False, allow_unicode=True, width=_WIDTH)
    target = out / f"{name}.yaml"
    return _checked(content, target), target


def _own(file: Path, name: str) -> str:
    """Return a taxonomy file's text; its own name must be the one that was asked for."""
    found = load_taxonomy(file)
    if name and found.name != name:
        raise DefinitionInvalid(file, "name", f"is {found.name}, not {name}; change one of them")
    return file.read_text(encoding="utf-8")


def _checked(content: str, target: Path) -> Taxonomy:
    """Write beside the target, read it back, then rename: no reader meets half a taxonomy."""
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(content, encoding="utf-8")
        taxonomy = load_taxonomy(partial)
        partial.replace(target)
    except OSError as error:
        problem = f"cannot be written ({type(error).__name__})"
        raise DefinitionInvalid(target, "file", f"{problem}; choose another --out") from None
    finally:
        partial.unlink(missing_ok=True)
    return taxonomy


def write_examples(file: Path, taxonomy: Taxonomy, target: Path) -> int:
    """Write ATT&CK's procedure examples as examples to train on and return how many they are.

    Raises:
        DefinitionInvalid: a row does not parse or names a technique that is not there.
    """
    rows = read_procedures(file, taxonomy)
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(rows)


def run(given: argparse.Namespace) -> Imported:
    """Import as the command line says."""
    out = given.out or Home.find().root / "taxonomies"
    source = Source(given.source)
    taxonomy, file = import_taxonomy(given.file, source, given.name, given.version, out, report)
    if given.procedures is None:
        return Imported(taxonomy, file, None, 0)
    examples = out / f"{taxonomy.name}-examples.jsonl"
    return Imported(taxonomy, file, examples, write_examples(given.procedures, taxonomy, examples))


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(
        prog="python -m services.mapper.taxonomy_import", description=__doc__
    )
    made.add_argument("file", type=Path, help="what to import")
    made.add_argument("--from", dest="source", choices=[*Source], default=Source.JSONL)
    made.add_argument(
        "--name", default="", help="of the taxonomy; default: what the source is called"
    )
    made.add_argument("--version", default="1", help="of the taxonomy")
    made.add_argument("--out", type=Path, help="folder; default: taxonomies/ in the home")
    made.add_argument("--procedures", type=Path, help="ATT&CK procedure examples, to train on")
    add_json(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 1 with one line on stderr when it cannot be done."""
    given = parser().parse_args(argv)

    def work() -> tuple[Any, list[str]]:
        imported = run(given)
        return imported.shape(), imported.lines()

    return finish(work, as_json=given.json)


if __name__ == "__main__":
    sys.exit(main())
