"""What a query model is trained on: passages in their articles' order, from a JSONL file."""

from pathlib import Path

import msgspec

from services.retriever.querymodel.windows import Place


class SourceUnusable(Exception):
    """A file of passages cannot be used; the message says what to do."""


class PassageRow(msgspec.Struct, frozen=True):
    """One line of the file; other fields are ignored."""

    id: str
    """Of the passage."""
    article: str
    """What it belongs to."""
    seq: int
    """Its number in the article's order; windows need numbers that follow one another."""
    text: str
    """What is encoded, below the title when there is one, as an ingest does."""
    title: str = ""
    """Heading."""
    source: str = ""
    """Keeps articles of the same name apart."""

    @property
    def place(self) -> Place:
        """Where it stands."""
        return Place(f"{self.source}/{self.article}", self.seq)

    @property
    def searchable(self) -> str:
        """The text that is encoded."""
        return f"{self.title}\n{self.text}" if self.title else self.text


def read_passages(path: Path) -> list[PassageRow]:
    """Return the passages of a JSONL file; raises SourceUnusable."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise SourceUnusable(f"{path.name} cannot be read ({type(error).__name__})") from None
    rows = [_row(path, number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if not rows:
        raise SourceUnusable(f"{path.name} holds no passages")
    return rows


def _row(path: Path, number: int, line: bytes) -> PassageRow:
    try:
        return msgspec.json.decode(line, type=PassageRow)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SourceUnusable(f"{path.name}, line {number}: {error}") from None
