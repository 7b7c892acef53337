"""Windows of consecutive passages of one article, and which articles train, validate and test. Pure.

Windows of one article overlap, so a split by window would show a model its test answers: articles are
split, by the hash of their names, whatever else is in the data.
"""

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from services.retriever.querymodel.model import WINDOW

Part = Literal["train", "validation", "test"]

TEST_SHARE = 0.3
VALIDATION_SHARE = 0.1
"""Of the articles."""

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a passage stands."""

    article: str
    """What it belongs to."""
    seq: int
    """Its number in the article's order."""


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows and their targets, as row numbers of the passages."""

    rows: Rows
    """(n, 6): five consecutive passages and the next one."""
    articles: list[str]
    """Of each window."""

    @property
    def read(self) -> Rows:
        """(n, 5): what a model reads."""
        return self.rows[:, :WINDOW]

    @property
    def last(self) -> Rows:
        """(n,): the last passage read."""
        return self.rows[:, WINDOW - 1]

    @property
    def target(self) -> Rows:
        """(n,): the passage that comes next."""
        return self.rows[:, WINDOW]

    def part(self, part: Part) -> "Windows":
        """Return the windows of one part of the articles."""
        picked = [n for n, article in enumerate(self.articles) if part_of(article) == part]
        return Windows(self.rows[picked], [self.articles[n] for n in picked])


def windows_of(places: Sequence[Place]) -> Windows:
    """Return every window of passages whose numbers in their article follow one another, stride 1."""
    found = list(_found(places))
    rows = np.array([row for row, _ in found], dtype=np.int64).reshape(-1, WINDOW + 1)
    return Windows(rows, [article for _, article in found])


def part_of(article: str) -> Part:
    """Return what an article is for: decided by its name alone."""
    digest = hashlib.sha256(f"query-model/{article}".encode()).digest()
    drawn = int.from_bytes(digest[:8], "big") / 2**64
    if drawn < TEST_SHARE:
        return "test"
    return "validation" if drawn < TEST_SHARE + VALIDATION_SHARE else "train"


def _found(places: Sequence[Place]) -> Iterator[tuple[list[int], str]]:
    order = sorted(range(len(places)), key=lambda n: (places[n].article, places[n].seq))
    for article, group in itertools.groupby(order, key=lambda n: places[n].article):
        numbers = list(group)
        for start in range(len(numbers) - WINDOW):
            window = numbers[start : start + WINDOW + 1]
            if places[window[-1]].seq - places[window[0]].seq == WINDOW:
                yield window, article
