"""What reading a user's file yields: passages with their place of origin, and rows that are no passage."""

from dataclasses import dataclass

from trimtab.contracts.documents import Document


@dataclass(frozen=True, slots=True)
class Row:
    """One passage and where it stands."""

    file: str
    """Path as the user gave it."""
    line: int
    """First line of it, counted from 1."""
    document: Document
    """The passage."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """One place that holds no passage; reading goes on behind it."""

    file: str
    """Path as the user gave it."""
    line: int
    """Line, counted from 1; 0 means the whole file."""
    reason: str
    """What is wrong and what to do; never the text itself."""
