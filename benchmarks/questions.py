"""Queries that nobody asked before: the first sentences of the corpus's own passages, shuffled, cut short.

Short real English, every one different, so that no cache answers; what they find does not matter here.
"""

import random
import re
from collections.abc import Iterator

from trimtab.corpus.stdlib import documents

_WORDS = 12
_SENTENCE = re.compile(r"[.!?:]\s|\n\n")


def questions(modules: tuple[str, ...] = ()) -> list[str]:
    """Return one query per passage whose first sentence has at least four words, each once."""
    found = dict.fromkeys(
        query for document in documents(modules or None) if (query := _query(document.text))
    )
    ordered = list(found)
    random.Random(7).shuffle(ordered)
    return ordered


def cycle(texts: list[str]) -> Iterator[str]:
    """Yield the queries for ever."""
    while True:
        yield from texts


def _query(text: str) -> str:
    words = _SENTENCE.split(text.strip(), maxsplit=1)[0].split()
    return " ".join(words[:_WORDS]) if len(words) >= 4 else ""
