"""What is wrong with the patterns of a detector's file: they must match whole names, and something that no rule before them does. Pure."""

import re
from collections.abc import Iterator

from services.mapper.definitions.patterns import PatternRefused, compile_pattern
from services.mapper.linting.sheet import Finding, Sheet

_OPEN_END = re.compile(r"(?:\.|\\[wWSD]|\[\^[^\]]*\])(?:[*+]|\{\d*,\})")
"""An unbounded repeat of almost any character."""

_AROUND = ("x{}", "{}x", "not {}", "NOT_{}", "{} x", "un{}")
"""What a name may stand in without being it."""

_CHOICE = re.compile(r"\(\??:?([^()]*)\)")
_LITERAL = re.compile(r"[A-Za-z0-9 _/:{}\[\]-]*")


def pattern_findings(sheet: Sheet) -> Iterator[Finding]:
    """Return the findings on every pattern."""
    names = [name.name for name in (*sheet.labels, *sheet.aliases)]
    labels = {name.name for name in sheet.labels}
    seen: dict[str, int] = {}
    for expression, label, line in sheet.patterns:
        if label not in labels:
            problem = f"names {label!r}, no label of this file"
            yield Finding(sheet.file, line, "pattern-of-nothing", problem)
        try:
            compiled = compile_pattern(expression)
        except PatternRefused as error:
            yield Finding(sheet.file, line, "bad-pattern", str(error))
            continue
        if expression in seen:
            problem = f"stands in line {seen[expression]} already, which answers first"
            yield Finding(sheet.file, line, "unreachable", problem)
        seen.setdefault(expression, line)
        yield from _loose(sheet, expression, compiled, names, line)
        outputs = written_out(expression)
        if outputs and all(output in names for output in outputs):
            problem = "matches only names that are labels or aliases, which answer first"
            yield Finding(sheet.file, line, "unreachable", problem)


def _loose(
    sheet: Sheet, expression: str, compiled: re.Pattern[str], names: list[str], line: int
) -> Iterator[Finding]:
    if _OPEN_END.search(expression):
        problem = "repeats almost any character without end: a part of a name may match"
        yield Finding(sheet.file, line, "loose-pattern", problem)
        return
    for name in names:
        for around in _AROUND:
            if compiled.fullmatch(around.format(name)) and around.format(name) not in names:
                problem = f"matches {around.format(name)!r}, of which {name!r} is a part"
                yield Finding(sheet.file, line, "loose-pattern", problem)
                return


def written_out(expression: str) -> list[str]:
    """Return every name that a pattern of plain letters and at most one choice matches; empty for any other."""
    body = expression.removeprefix("^").removesuffix("$")
    choice = _CHOICE.search(body)
    options = choice[1].split("|") if choice else [""]
    before, after = (body[: choice.start()], body[choice.end() :]) if choice else (body, "")
    outputs = [re.sub(r"\\([{}\[\].])", r"\1", before + option + after) for option in options]
    plain = all(_LITERAL.fullmatch(output.replace(".", "")) for output in outputs)
    return outputs if plain and not re.search(r"(?<!\\)[.*+?{\[]", body) else []
