"""The sizes of the search comparison: what ``--sizes`` takes. Pure."""

import re
from dataclasses import dataclass

_OTHER = re.compile(r"(\d+)x(\d+)")


@dataclass(frozen=True, slots=True)
class Size:
    """A synthetic collection."""

    passages: int
    """How many vectors."""
    dimension: int = 384
    """Of each."""
    tokens: int = 0
    """Token vectors per passage in the service."""

    def __str__(self) -> str:
        return f"{self.passages:,} x {self.dimension}"


NAMED = {
    "6k6": Size(6_600, tokens=90),
    "100k": Size(100_000),
    "1m384": Size(1_000_000),
    "1m768": Size(1_000_000, 768),
}
"""The smallest is that of the shipped corpus, with as many token vectors; larger ones would fill memory with them."""


def size_of(text: str) -> Size:
    """Return a named size, or that of ``PASSAGESxDIMENSION``.

    Raises:
        ValueError: it is neither.
    """
    if text in NAMED:
        return NAMED[text]
    other = _OTHER.fullmatch(text)
    if other is None or int(other[1]) < 1000 or int(other[2]) < 128:
        known = ", ".join(NAMED)
        raise ValueError(f"{text}: one of {known}, or NxD with N >= 1000 and D >= 128")
    return Size(int(other[1]), int(other[2]))
