"""Text to search terms: English words by their stem, identifiers both whole and by their parts.

``shutil.copytree`` is found as itself, as ``shutil`` and as ``copytree``; ``ThreadPoolExecutor`` as
itself and as ``thread``, ``pool``, ``executor``; ``set_start_method`` likewise. Documents and queries go
through the same function.
"""

import re
from collections.abc import Callable, Iterator

import Stemmer

_RUN = re.compile(r"\w+(?:[.\-]\w+)*")
"""A word, or words joined by dots or dashes without a space: ``os.path``, ``built-in``, ``3.11``."""

_SEPARATORS = re.compile(r"[.\-]")
_ATOM = re.compile(r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*|\d+|[^\W\d_a-zA-Z]+\d*")
"""One part of an identifier: a camel hump, an acronym, or letters of another script, with its digits."""

Stem = Callable[[str], str]


def english_stemmer() -> Stem:
    """Return a Snowball English stemmer; it keeps a cache, so give each thread its own."""
    stem: Stem = Stemmer.Stemmer("english").stemWord
    return stem


def terms(text: str, stem: Stem) -> list[str]:
    """Return the terms of ``text`` in reading order, repeats kept: their number is a signal.

    Plain words are lower-cased and stemmed. An identifier gives itself, lower-cased and unstemmed,
    then each dotted part that is itself compound, then its stemmed atoms.
    """
    found: list[str] = []
    for match in _RUN.finditer(text):
        run = match.group()
        if run.isalpha() and (run.islower() or run.isupper() or run.istitle()):
            found.append(stem(run.lower()))
        else:
            found.extend(_identifier(run, stem))
    return found


def _identifier(run: str, stem: Stem) -> Iterator[str]:
    parts = [part for part in _SEPARATORS.split(run) if part]
    if len(parts) > 1:
        yield run.lower()
    for part in parts:
        atoms = _ATOM.findall(part)
        if len(atoms) != 1 or atoms[0] != part:
            yield part.lower()
        for atom in atoms:
            yield stem(atom.lower())
