"""Mechanical repairs of a detector's file: order of keys, names that stand twice, labels that got another name. Pure.

Nothing that needs judgement is touched, and comments stay where they are: the file is edited by lines.
"""

import re

from services.mapper.definitions.detectors import KEYS
from services.mapper.definitions.names import normalise
from services.mapper.definitions.taxonomy import Taxonomy
from services.mapper.linting.lint import lint
from services.mapper.linting.sheet import read_sheet

_REMOVED = ("duplicate-label", "duplicate-alias")
_VALUE = re.compile(r"[^\s\[\],][^\[\],]*")


def repaired(text: str, file: str, taxonomy: Taxonomy) -> str:
    """Return the text with everything fixable repaired; the same text when nothing is.

    A file that is no YAML stays as it is, and so does a line that holds more than one name.
    """
    found = [finding for finding in lint(text, file, taxonomy) if finding.fixable]
    if not found:
        return text
    lines = text.splitlines()
    for finding in found:
        if finding.code == "obsolete-label":
            lines[finding.line - 1] = _renamed(lines[finding.line - 1], taxonomy)
    gone = {f.line - 1 for f in found if f.code in _REMOVED and _alone(lines, f.line - 1)}
    lines = [line for number, line in enumerate(lines) if number not in gone]
    if any(finding.code == "order" for finding in found):
        lines = _ordered(lines, read_sheet("\n".join(lines), file).keys)
    return "\n".join(lines) + "\n"


def _renamed(line: str, taxonomy: Taxonomy) -> str:
    """Return the line with every value that is an alias of the taxonomy replaced by the label's name."""
    head, colon, rest = line.rpartition(": ")
    if not colon:
        head, colon, rest = line.rpartition("- ")
    comment = re.search(r"\s+#.*$", rest)
    values, tail = (rest[: comment.start()], comment.group()) if comment else (rest, "")

    def current(match: re.Match[str]) -> str:
        name = match.group().strip("'\"")
        return taxonomy.by_name.get(normalise(name), match.group())

    return f"{head}{colon}{_VALUE.sub(current, values)}{tail}"


def _alone(lines: list[str], at: int) -> bool:
    """Tell whether a line is one name with its one value, so that nothing else goes with it."""
    line = lines[at]
    deeper = at + 1 < len(lines) and _indent(lines[at + 1]) > _indent(line)
    flow = line.lstrip().startswith(("{", "-")) or "{" in line.partition(":")[0]
    return not flow and not deeper and bool(line.partition(": ")[2].strip())


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip()) if line.strip() else 0


def _ordered(lines: list[str], keys: dict[str, int]) -> list[str]:
    """Return the blocks of the top-level keys in their order; comments above a key move with it.

    What stands above the first key, its comment included, stays at the top.
    """
    starts = sorted(number - 1 for number in keys.values())
    begins = [starts[0], *(_with_comments(lines, start) for start in starts[1:])]
    ends = [*begins[1:], len(lines)]
    names = {number - 1: key for key, number in keys.items()}
    blocks = {
        names[start]: lines[begin:end]
        for start, begin, end in zip(starts, begins, ends, strict=True)
    }
    known = sorted((key for key in blocks if key in KEYS), key=KEYS.index)
    rest = [key for key in blocks if key not in KEYS]
    return [*lines[: starts[0]], *(line for key in [*known, *rest] for line in blocks[key])]


def _with_comments(lines: list[str], start: int) -> int:
    while start and lines[start - 1].startswith("#"):
        start -= 1
    return start
