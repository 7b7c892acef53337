"""Pieces of a page of Markdown: moments, tables, and words of others made harmless. Pure."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

UNKNOWN = "not recorded"

_CUT = 300
"""Characters of a reason that are shown; the audit has all of it."""


def clock(at: float | None) -> str:
    """Return a moment in UTC, to the millisecond."""
    if at is None:
        return UNKNOWN
    return datetime.fromtimestamp(at, UTC).isoformat(sep=" ", timespec="milliseconds")[:23]


def plain(text: str) -> str:
    """Return words of others as one line that Markdown and HTML leave alone."""
    words = " ".join(text.split())
    words = words if len(words) <= _CUT else words[: _CUT - 3] + "..."
    for mark, harmless in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("`", "'")):
        words = words.replace(mark, harmless)
    for mark in "\\|*[]":
        words = words.replace(mark, f"\\{mark}")
    return words


def between(first: float | None, last: float | None) -> str:
    """Return the time from one moment to another; the audit may write down a cause after its effect."""
    if first is None or last is None:
        return UNKNOWN
    seconds = last - first
    if seconds < 0:
        return "at once"
    return f"{seconds:.3f} s" if seconds < 60 else f"{seconds / 60:.1f} min"


def section(title: str, lines: Iterable[str]) -> str:
    """Return lines below a heading."""
    return f"## {title}\n\n" + "\n".join(lines)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table; cells are Markdown already."""
    made = [f"| {' | '.join(row)} |" for row in rows]
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *made]
