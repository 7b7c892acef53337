"""Cuts a Markdown or plain text file into passages by its headings and paragraphs."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

TARGET_CHARS = 1_000
"""Paragraphs of one section are joined up to here: about the 256 tokens that the default encoder reads."""

_HEADING = re.compile(r"^(#{1,6})\s+(.+?)\s*#*\s*$")
_FENCE = re.compile(r"^\s*(```|~~~)")


@dataclass(frozen=True, slots=True)
class Section:
    """One passage of a file."""

    line: int
    """Line where it starts, from 1."""
    headings: tuple[str, ...]
    """Headings above it, outermost first; empty in plain text."""
    text: str
    """Its paragraphs; never blank."""


@dataclass(frozen=True, slots=True)
class _Paragraph:
    line: int
    headings: tuple[str, ...]
    text: str


def sections(text: str, target_chars: int = TARGET_CHARS) -> Iterator[Section]:
    """Yield the passages of a text in order.

    A heading always starts a new passage, a paragraph is never joined beyond ``target_chars``; a longer
    one is cut between words, so that a passage is never longer than the target unless one word is.
    """
    pending: list[_Paragraph] = []
    for paragraph in _paragraphs(text):
        for piece in _pieces(paragraph, target_chars):
            if pending and not _fits(pending, piece, target_chars):
                yield _join(pending)
                pending = []
            pending.append(piece)
    if pending:
        yield _join(pending)


def _fits(pending: list[_Paragraph], piece: _Paragraph, target_chars: int) -> bool:
    length = sum(len(p.text) + 2 for p in pending) + len(piece.text)
    return pending[0].headings == piece.headings and length <= target_chars


def _join(pending: list[_Paragraph]) -> Section:
    first = pending[0]
    return Section(first.line, first.headings, "\n\n".join(p.text for p in pending))


def _paragraphs(text: str) -> Iterator[_Paragraph]:
    headings: tuple[str, ...] = ()
    buffer: list[str] = []
    start, fenced = 1, False
    for number, line in enumerate(text.splitlines(), start=1):
        heading = None if fenced else _HEADING.match(line)
        fenced ^= bool(_FENCE.match(line))
        if heading or (not line.strip() and not fenced):
            if buffer:
                yield _Paragraph(start, headings, "\n".join(buffer))
            buffer = []
            headings = _below(headings, heading) if heading else headings
            continue
        if not buffer:
            start = number
        buffer.append(line.rstrip())
    if buffer:
        yield _Paragraph(start, headings, "\n".join(buffer))


def _below(headings: tuple[str, ...], heading: re.Match[str]) -> tuple[str, ...]:
    level = len(heading[1])
    return (*headings[: level - 1], heading[2])


def _pieces(paragraph: _Paragraph, target_chars: int) -> Iterator[_Paragraph]:
    """Yield a paragraph whole, or cut between words when it is longer than the target."""
    if len(paragraph.text) <= target_chars:
        yield paragraph
        return
    words: list[str] = []
    length = 0
    for word in paragraph.text.split():
        if words and length + len(word) + 1 > target_chars:
            yield _Paragraph(paragraph.line, paragraph.headings, " ".join(words))
            words, length = [], 0
        words.append(word)
        length += len(word) + 1
    yield _Paragraph(paragraph.line, paragraph.headings, " ".join(words))
