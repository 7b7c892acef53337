"""What is wrong with a detector's file, everything at once and each with its line. Pure."""

import re
from collections import Counter
from collections.abc import Iterator

from services.mapper.definitions.detectors import KEYS
from services.mapper.definitions.names import normalise
from services.mapper.definitions.patterns import MAX_INPUT_CHARS
from services.mapper.definitions.taxonomy import Taxonomy
from services.mapper.linting.patterns import pattern_findings
from services.mapper.linting.sheet import Finding, Name, Sheet, Unreadable, read_sheet

REVIEW = "# review:"
"""Stands behind a label that was suggested and that nobody has looked at yet."""

_NEEDED = ("name", "version", "source", "labels")
_LEVEL = re.compile(r" (low|medium|high|critical|severe|none|safe|true|false|\d)$")
_GRADED = 3
"""So many names that differ in a level alone are a severity that was not declared."""


def lint(text: str, file: str, taxonomy: Taxonomy) -> list[Finding]:
    """Return every finding, by line; none means that the loader takes it and nothing in it is idle."""
    try:
        sheet = read_sheet(text, file)
    except Unreadable as error:
        return [Finding(file, error.line, "unreadable", str(error))]
    found = [
        *_frame(sheet),
        *_order(sheet),
        *_meanings(sheet, taxonomy),
        *_spellings(sheet),
        *_aliases(sheet),
        *_unreachable(sheet),
        *pattern_findings(sheet),
        *_severity(sheet, taxonomy),
        *_unreviewed(sheet),
    ]
    return sorted(found, key=lambda each: (each.line, each.code))


def _frame(sheet: Sheet) -> Iterator[Finding]:
    """Keys: none missing, none unknown, none twice; the name is the file's."""
    for key, line in sheet.keys.items():
        if key not in KEYS:
            known = ", ".join(KEYS)
            yield Finding(sheet.file, line, "unknown-key", f"{key}; known: {known}")
    for key in _NEEDED:
        if key not in sheet.keys:
            yield Finding(sheet.file, 1, f"missing-{key}", f"write `{key}:`")
    for key, line in sheet.repeated:
        yield Finding(sheet.file, line, "repeated-key", f"{key!r} stands twice; keep one")
    name, stem = sheet.texts.get("name", ""), sheet.file.rpartition("/")[2].removesuffix(".yaml")
    if name and name != stem:
        yield Finding(sheet.file, sheet.keys["name"], "name", f"{name} is not the file's, {stem}")


def _order(sheet: Sheet) -> Iterator[Finding]:
    """Keys stand in their order."""
    known_keys = [key for key in sheet.keys if key in KEYS]
    for key, wanted in zip(known_keys, sorted(known_keys, key=KEYS.index), strict=True):
        if key != wanted:
            problem = f"{key} stands before {wanted}; the order is {', '.join(KEYS)}"
            yield Finding(sheet.file, sheet.keys[key], "order", problem, fixable=True)
            return


def _meanings(sheet: Sheet, taxonomy: Taxonomy) -> Iterator[Finding]:
    """Every label means labels that exist."""
    for name in sheet.labels:
        if not name.means:
            yield Finding(sheet.file, name.line, "unknown-label", f"{name.name!r} means nothing")
        for label, line in name.means:
            if label in taxonomy.labels:
                continue
            now = taxonomy.by_name.get(normalise(label))
            if now is not None:
                problem = f"{label} is called {now} in {taxonomy.reference}"
                yield Finding(sheet.file, line, "obsolete-label", problem, fixable=True)
            else:
                problem = f"{label!r} is no label of {taxonomy.reference}"
                yield Finding(sheet.file, line, "unknown-label", problem)


def _spellings(sheet: Sheet) -> Iterator[Finding]:
    """No name stands twice in two spellings, above all not with two meanings."""
    for names, kind in ((sheet.labels, "label"), (sheet.aliases, "alias")):
        first: dict[str, Name] = {}
        for name in names:
            other = first.setdefault(name.key, name)
            if other is name or other.name == name.name:  # the same spelling is a repeated key
                continue
            told = f"{name.name!r} is {other.name!r} of line {other.line} in another spelling"
            if other.values == name.values:
                yield Finding(sheet.file, name.line, f"duplicate-{kind}", told, fixable=True)
            else:
                problem = f"{told}, with another meaning; keep one"
                yield Finding(sheet.file, name.line, f"conflicting-{kind}", problem)


def _aliases(sheet: Sheet) -> Iterator[Finding]:
    """An alias names a label of this file and is none itself."""
    labels = {name.name: name for name in sheet.labels}
    spelled = {name.key: name for name in sheet.labels}
    for alias in sheet.aliases:
        [target, *_] = alias.values or ("",)
        if target not in labels:
            problem = f"{alias.name!r} names {target!r}, no label of this file"
            yield Finding(sheet.file, alias.line, "alias-of-nothing", problem)
            continue
        other = spelled.get(alias.key)
        if other is None:
            continue
        if other.values == labels[target].values:
            problem = f"{alias.name!r} is the label {other.name!r} already"
            yield Finding(sheet.file, alias.line, "duplicate-alias", problem, fixable=True)
        else:
            problem = f"{alias.name!r} is the label {other.name!r} and names {target!r}; keep one"
            yield Finding(sheet.file, alias.line, "conflicting-alias", problem)


def _unreachable(sheet: Sheet) -> Iterator[Finding]:
    """A name that no output can ever be."""
    for name in (*sheet.labels, *sheet.aliases):
        why = ""
        if not name.key:
            why = "has no letters or digits"
        elif "|" in name.name:
            why = "holds |, at which outputs are split"
        elif len(name.name) > MAX_INPUT_CHARS:
            why = f"is longer than {MAX_INPUT_CHARS} characters"
        if why:
            problem = f"{name.name[:40]!r} {why}: no output can be it"
            yield Finding(sheet.file, name.line, "unreachable", problem)


def _severity(sheet: Sheet, taxonomy: Taxonomy) -> Iterator[Finding]:
    """Levels are declared once, with those that say that nothing was found."""
    if sheet.severity is None:
        keys = [name.key for name in (*sheet.labels, *sheet.aliases)]
        stems = Counter(_LEVEL.sub("", key) for key in keys if _LEVEL.search(key))
        for stem, count in stems.items():
            if count >= _GRADED:
                [line, *_] = [
                    n.line for n in sheet.labels + sheet.aliases if n.key.startswith(stem)
                ]
                problem = f"{count} names grade {stem!r}; declare a severity instead"
                yield Finding(sheet.file, line, "missing-severity", problem)
        return
    line = sheet.keys["severity"]
    for key, what in (("levels", "keep the label"), ("none", "say that nothing was found")):
        if not any(sheet.severity.get(key, [])):
            yield Finding(sheet.file, line, "missing-severity", f"{key}: name levels that {what}")
    [none_label, *_] = sheet.severity.get("none_label", [""])
    if none_label not in taxonomy.labels:
        problem = f"none_label {none_label!r} is no label of {taxonomy.reference}"
        yield Finding(sheet.file, line, "unknown-label", problem)
    both = set(map(normalise, sheet.severity.get("levels", [])))
    both &= set(map(normalise, sheet.severity.get("none", [])))
    if both:
        problem = f"{', '.join(sorted(both))} both keeps the label and denies it"
        yield Finding(sheet.file, line, "conflicting-level", problem)


def _unreviewed(sheet: Sheet) -> Iterator[Finding]:
    for number, line in enumerate(sheet.lines, start=1):
        if REVIEW in line:
            problem = f"a suggestion nobody confirmed; take `{REVIEW} ...` away once it is right"
            yield Finding(sheet.file, number, "unreviewed", problem)
