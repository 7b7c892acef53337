"""``python -m services.mapper.linting.command lint|add|fix``: files of detectors, checked, begun and repaired.

Asked for by `trimtab mapper detectors lint|add|fix`.
"""

import argparse
import asyncio
import difflib
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from services.mapper.alone import add_alone
from services.mapper.alone import vectors as vectors_of
from services.mapper.command import add_json, finish, report
from services.mapper.definitions.detectors import NAME
from services.mapper.definitions.document import DefinitionInvalid
from services.mapper.definitions.taxonomy import Taxonomy, load_taxonomy
from services.mapper.linting import scaffold
from services.mapper.linting.lint import lint
from services.mapper.linting.repair import repaired
from services.mapper.linting.sheet import Finding
from services.mapper.settings import MapperSettings
from trimtab.corpus.vectors import add_options

Done = tuple[Any, list[str], bool]
"""For scripts, for people, and whether it ends with 0."""


def check(given: argparse.Namespace) -> Done:
    """Lint files."""
    taxonomy, found = _taxonomy(given), list[Finding]()
    files = _files(given)
    for path in files:
        found += lint(_read(path), _told(path), taxonomy)
    told = {"ok": not found, "files": len(files), "findings": [asdict(each) for each in found]}
    last = f"{len(files)} files, {len(found)} findings"
    return told, [*(each.text() for each in found), last], not found


def fix(given: argparse.Namespace) -> Done:
    """Repair files in place, or only show how; what is left needs a person."""
    taxonomy, left = _taxonomy(given), list[Finding]()
    changed, said = list[str](), list[str]()
    for path in _files(given):
        before = _read(path)
        after = repaired(before, _told(path), taxonomy)
        if after != before:
            changed.append(_told(path))
            said += _difference(before, after, _told(path)) if given.dry_run else []
            if not given.dry_run:
                path.write_text(after, encoding="utf-8")
                said.append(f"repaired {_told(path)}")
        left += lint(after, _told(path), taxonomy)
    told = {
        "ok": not left,
        "changed": changed,
        "written": not given.dry_run,
        "findings": [asdict(each) for each in left],
    }
    said += [each.text() for each in left]
    return told, [*said, f"{len(changed)} files to repair, {len(left)} findings left"], not left


def add(given: argparse.Namespace) -> Done:
    """Begin a file for a new detector from its vendor's labels."""
    taxonomy = _taxonomy(given)
    path = given.out / f"{given.name}.yaml"
    names = _names(given)
    if not NAME.fullmatch(given.name):
        raise DefinitionInvalid(path, "name", "must be lower-case letters, digits and dashes")
    if path.exists():
        raise DefinitionInvalid(path, "file", "is there already; edit it, or name another --out")
    found = scaffold.known(names, taxonomy)
    rest = [name for name in names if name not in found]
    if rest:
        texts = scaffold.texts(rest, given.name, taxonomy)
        vectors = asyncio.run(vectors_of(given, texts, report))
        found |= scaffold.nearest(rest, vectors, taxonomy)
    suggestions = [found[name] for name in names]
    path.parent.mkdir(parents=True, exist_ok=True)
    text = scaffold.document(given.name, given.version, given.source, suggestions)
    path.write_text(text, encoding="utf-8")
    said = [f"{each.name}  {each.label}  ({each.because})" for each in suggestions]
    told = {"file": str(path), "suggestions": [asdict(each) for each in suggestions]}
    return told, [*said, f"wrote {path}: look at every line, then `detectors lint`"], True


def _taxonomy(given: argparse.Namespace) -> Taxonomy:
    return load_taxonomy(given.taxonomy or MapperSettings.load().taxonomy)


def _files(given: argparse.Namespace) -> list[Path]:
    files = given.files or sorted(MapperSettings.load().detectors.glob("*.yaml"))
    if not files:
        raise DefinitionInvalid(MapperSettings.load().detectors, "file", "holds no detector")
    return list(files)


def _told(path: Path) -> str:
    """Return a path as a person would type it here."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionInvalid(path, "file", f"cannot be read ({type(error).__name__})") from None


def _names(given: argparse.Namespace) -> list[str]:
    """Return the vendor's labels, of the command line and of a file with one per line, without repeats."""
    told = [*given.label, *(_read(given.labels).splitlines() if given.labels else [])]
    names = list(dict.fromkeys(name.strip() for name in told if name.strip()))
    if not names:
        raise DefinitionInvalid("labels", "none", "given; name them, or a file with --labels")
    return names


def _difference(before: str, after: str, file: str) -> list[str]:
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), f"a/{file}", f"b/{file}", lineterm=""
    )
    return list(lines)


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(prog="python -m services.mapper.linting.command")
    verbs = made.add_subparsers(required=True)
    _verb(verbs, "lint", check).add_argument("files", nargs="*", type=Path)
    repair = _verb(verbs, "fix", fix)
    repair.add_argument("files", nargs="*", type=Path)
    repair.add_argument("--dry-run", action="store_true")
    begin = _verb(verbs, "add", add)
    begin.add_argument("name")
    begin.add_argument("label", nargs="*")
    begin.add_argument("--labels", type=Path)
    begin.add_argument("--version", default="1")
    begin.add_argument("--source", required=True)
    begin.add_argument("--out", type=Path, default=Path())
    add_options(begin)
    add_alone(begin)
    return made


def _verb(verbs: Any, name: str, work: Callable[[argparse.Namespace], Done]) -> Any:
    verb = verbs.add_parser(name)
    verb.set_defaults(work=work)
    verb.add_argument("--taxonomy", type=Path)
    add_json(verb)
    return verb


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command: 0 nothing to say, 1 findings or not to be done."""
    given = parser().parse_args(argv)
    verdict: list[bool] = []

    def work() -> tuple[Any, list[str]]:
        told, said, ok = given.work(given)
        verdict.append(ok)
        return told, said

    code = finish(work, as_json=given.json)
    return code or int(not all(verdict))


if __name__ == "__main__":
    sys.exit(main())
