"""What a detector's label looks like, and what raw content looks like: limits that gateway and mapper share. Pure.

A detector that answers with labels has no reason to send what it read. Whoever sends that by mistake is
refused before it is encoded, logged or stored. No rule here reads meaning: a short sentence passes as raw
content's opposite, and a label longer than its limit is refused.
"""

import re

from trimtab.contracts.errors import RawContent
from trimtab.contracts.mapping import parts_of

MAX_RAW_CHARS = 2047
"""Most characters of an output that is not free text."""

MAX_NEWLINES = 2
"""Most line breaks of one."""

MAX_TOKEN_CHARS = 255
"""Longest unbroken run of letters, digits, ``+``, ``/``, ``-``, ``_`` and ``=`` in one: longer, it is encoded data."""

MAX_LABEL_CHARS = 160
"""Most characters of one label of a label-only detector."""

MAX_LABEL_WORDS = 16
"""Most words of one."""

_TOKEN = re.compile(r"[A-Za-z0-9+/_=-]+")


def check_raw(detector: str, output: str) -> None:
    """Refuse what looks like a document or encoded data.

    Raises:
        RawContent: too long, too many lines, or a long unbroken token; says which and how much.
    """
    _within(detector, "characters", len(output), MAX_RAW_CHARS)
    _within(detector, "line breaks", output.count("\n"), MAX_NEWLINES)
    longest = max((len(token) for token in _TOKEN.findall(output)), default=0)
    _within(detector, "characters without a break", longest, MAX_TOKEN_CHARS)


def check_labels(detector: str, output: str) -> None:
    """Refuse what is no list of labels: :func:`check_raw`, and each part of the output must be short.

    Raises:
        RawContent: a part is longer than a label is; says how much.
    """
    check_raw(detector, output)
    for part in parts_of(output):
        _within(detector, "characters of one label", len(part), MAX_LABEL_CHARS)
        _within(detector, "words of one label", len(part.split()), MAX_LABEL_WORDS)


def _within(detector: str, rule: str, found: int, limit: int) -> None:
    if found > limit:
        raise RawContent(detector, rule, found, limit)
