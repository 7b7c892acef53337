"""A plan applied to folders of files: what would change, and the new files beside the old, or in their place."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.mapper.definitions.detectors import load_detector
from services.mapper.definitions.document import DefinitionInvalid
from services.mapper.definitions.frameworks import load_frameworks
from services.mapper.definitions.taxonomy import Taxonomy
from services.mapper.migration.moving import (
    Moved,
    moved_cases,
    moved_controls,
    moved_detector,
    moved_examples,
)
from services.mapper.migration.plan import Plan


@dataclass(frozen=True, slots=True)
class Files:
    """What a plan is applied to; None: left alone."""

    detectors: Path | None
    """Folder of YAML files."""
    examples: Path | None
    """Folder of JSONL files, or one of them."""
    golden: Path | None
    """The same."""
    frameworks: Path | None
    """YAML file."""


def apply(plan: Plan, old: Taxonomy, new: Taxonomy, files: Files) -> dict[Path, Moved]:
    """Return every file after the plan; nothing is written.

    Raises:
        DefinitionInvalid: a file does not fit the old taxonomy, or cannot be read.
    """
    found: dict[Path, Moved] = {}
    if files.detectors is not None:
        for path in sorted(files.detectors.glob("*.yaml")):
            load_detector(path, old)
            found[path] = moved_detector(_text(path), plan)
    for folder, move in ((files.examples, moved_examples), (files.golden, moved_cases)):
        for path in _jsonl(folder):
            found[path] = _moved_rows(path, move, plan)
    if files.frameworks is not None:
        before = load_frameworks(files.frameworks, old)
        found[files.frameworks] = moved_controls(before, plan, list(new.labels))
    return found


def _moved_rows(path: Path, move: Callable[[str, Plan], Moved], plan: Plan) -> Moved:
    try:
        return move(_text(path), plan)
    except (ValueError, TypeError, AttributeError):
        problem = "holds a line that is no JSON object with labels"
        raise DefinitionInvalid(path, "file", problem) from None


def _jsonl(folder: Path | None) -> list[Path]:
    if folder is None:
        return []
    return [folder] if folder.is_file() else sorted(folder.glob("*.jsonl"))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionInvalid(path, "file", f"cannot be read ({type(error).__name__})") from None


def write(found: dict[Path, Moved], out: Path | None) -> list[Path]:
    """Write the files below ``out``, each in a folder called like its own, or in place without it."""
    written = []
    for path, moved in found.items():
        target = path if out is None else out / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(moved.text, encoding="utf-8")
        written.append(target)
    return written


def shape(found: dict[Path, Moved], written: list[Path]) -> dict[str, Any]:
    """Return what changed, for scripts; no text of an example is in it."""
    return {
        "files": {
            str(path): {
                "changed": moved.changed,
                "dropped": moved.dropped,
                "decide": list(moved.decide),
            }
            for path, moved in found.items()
        },
        "changed": sum(moved.changed for moved in found.values()),
        "dropped": sum(moved.dropped for moved in found.values()),
        "decide": sum(len(moved.decide) for moved in found.values()),
        "written": [str(path) for path in written],
    }


def lines(told: dict[str, Any]) -> list[str]:
    """Return the same for people."""
    found = []
    for path, moved in told["files"].items():
        name = Path(path).name
        if moved["changed"] or moved["dropped"]:
            found.append(f"{name}: {moved['changed']} changed, {moved['dropped']} dropped")
        found += [f"{name}: look at {place}" for place in moved["decide"]]
    found.append(f"{told['changed']} places changed, {told['dropped']} rows dropped")
    where = f"wrote {len(told['written'])} files" if told["written"] else "nothing written"
    return [*found, f"{where}; --out FOLDER writes new files, --write replaces the old"]
