"""``python -m services.mapper.mapped_controls show|coverage``: which controls the labels of a taxonomy bear on.

Asked for by `trimtab mapper frameworks`; needs no deployment. Reading is checking: a label left out, a
control number of the wrong form or an unknown framework is refused.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from services.mapper.command import add_json, finish
from services.mapper.definitions.definitions import SHIPPED_FRAMEWORKS
from services.mapper.definitions.document import DefinitionInvalid
from services.mapper.definitions.frameworks import Frameworks, load_frameworks
from services.mapper.definitions.taxonomy import Taxonomy, load_taxonomy
from services.mapper.settings import MapperSettings
from services.mapper.train import taxonomy_file


def read(given: argparse.Namespace) -> tuple[Taxonomy, Frameworks]:
    """Return a taxonomy and its controls, as the command line names them.

    Raises:
        DefinitionInvalid: one of them says something wrong, or there are no controls for it.
    """
    file = MapperSettings().taxonomy if not given.taxonomy else taxonomy_file(given.taxonomy)
    taxonomy = load_taxonomy(file)
    controls = given.file or SHIPPED_FRAMEWORKS / f"{taxonomy.name}.yaml"
    return taxonomy, load_frameworks(controls, taxonomy)


def shown(taxonomy: Taxonomy, found: Frameworks, wanted: Sequence[str]) -> dict[str, Any]:
    """Return the controls of some labels, or of all, for scripts.

    Raises:
        DefinitionInvalid: a label is not there.
    """
    for label in wanted:
        if label not in taxonomy.labels:
            raise DefinitionInvalid(
                taxonomy.name, label, "is no label; leave --label out to see all"
            )
    labels = list(wanted) or list(taxonomy.labels)
    return {
        "taxonomy": taxonomy.reference,
        "frameworks": found.reference,
        "labels": {label: found.controls_of([label]) for label in labels},
    }


def coverage(taxonomy: Taxonomy, found: Frameworks) -> dict[str, Any]:
    """Return how many labels each framework is mapped to, for scripts."""
    mapped = [label for label, controls in found.labels.items() if any(controls.values())]
    return {
        "taxonomy": taxonomy.reference,
        "frameworks": found.reference,
        "labels": len(taxonomy.labels),
        "mapped": len(mapped),
        "none": [label for label in taxonomy.labels if label not in mapped],
        "by_framework": {name: _covered(found, name) for name in found.forms},
    }


def _covered(found: Frameworks, framework: str) -> dict[str, Any]:
    has = [label for label, controls in found.labels.items() if controls.get(framework)]
    return {
        "labels": len(has),
        "share": round(len(has) / len(found.labels), 4),
        "controls": len(found.labels_of(framework)),
        "without": [label for label in found.labels if label not in has],
    }


def show_lines(told: dict[str, Any]) -> list[str]:
    """Return the controls for people."""
    found = [f"{told['frameworks']} over {told['taxonomy']}"]
    for label, controls in told["labels"].items():
        said = "; ".join(f"{name} {', '.join(numbers)}" for name, numbers in controls.items())
        found.append(f"{label}: {said or 'none'}")
    return found


def coverage_lines(told: dict[str, Any]) -> list[str]:
    """Return the coverage for people."""
    found = [
        f"{told['frameworks']} over {told['taxonomy']}: {told['mapped']} of {told['labels']} labels "
        f"mapped, {', '.join(told['none']) or 'none'} bear on nothing"
    ]
    for name, part in told["by_framework"].items():
        found.append(
            f"{name}: {part['labels']} labels ({part['share']:.1%}), {part['controls']} controls; "
            f"without: {', '.join(part['without']) or 'none'}"
        )
    return found


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(
        prog="python -m services.mapper.mapped_controls", description=__doc__
    )
    made.add_argument("what", choices=["show", "coverage"])
    made.add_argument("--taxonomy", default="", help="YAML file, or a name; default: the shipped")
    made.add_argument("--file", type=Path, help="controls; default: shipped for that taxonomy")
    made.add_argument("--label", action="append", default=[], help="only these labels")
    add_json(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 1 with one line on stderr when it cannot be done."""
    given = parser().parse_args(argv)

    def work() -> tuple[Any, list[str]]:
        taxonomy, found = read(given)
        if given.what == "show":
            told = shown(taxonomy, found, given.label)
            return told, show_lines(told)
        told = coverage(taxonomy, found)
        return told, coverage_lines(told)

    return finish(work, as_json=given.json)


if __name__ == "__main__":
    sys.exit(main())
