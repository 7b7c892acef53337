"""Lexical features of a text: words, word pairs and letter groups, known by their hash. Pure.

The hash is xxh3, so the same text has the same features in every process and on every machine.
"""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import xxhash
from numpy.typing import NDArray

_WORD = re.compile(r"[^\W_]+")
_GRAMS = (3, 4, 5)
_MAX_CHARS = 2048
"""The rest of a longer text adds nothing to its label and costs time."""

SPACE = 1 << 32
"""Hashes lie below it: so wide that no two features of a corpus are likely to meet."""

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Which features count, and how much."""

    idf: Array
    """(buckets,) inverse document frequencies."""
    keys: NDArray[np.int64] | None = None
    """(buckets,) hash of each bucket's feature, rising; None folds all features into the buckets."""

    def bag(self, text: str) -> tuple[NDArray[np.int64], Array]:
        """Return the text's buckets, ascending, and their TF-IDF weights, of unit length.

        Empty for a text without a feature that counts.
        """
        if self.keys is None:
            return weighted(text, self.idf)
        hashes, values = counts(text, SPACE)
        places = np.minimum(np.searchsorted(self.keys, hashes), len(self.keys) - 1)
        known = self.keys[places] == hashes
        return _unit(places[known], values[known] * self.idf[places[known]])


def counts(text: str, buckets: int) -> tuple[NDArray[np.int64], Array]:
    """Return the text's buckets, ascending, and ``1 + log(count)`` of each (sublinear counts)."""
    found = Counter(xxhash.xxh3_64_intdigest(token.encode()) % buckets for token in _tokens(text))
    places = np.array(sorted(found), dtype=np.int64)
    values = 1.0 + np.log([found[int(place)] for place in places]) if len(places) else places
    return places, np.asarray(values, dtype=np.float32)


def weighted(text: str, idf: Array) -> tuple[NDArray[np.int64], Array]:
    """Return the text's buckets and their TF-IDF weights, of unit length; empty for a blank text."""
    places, values = counts(text, len(idf))
    return _unit(places, values * idf[places])


def inverse_frequencies(texts: list[str], buckets: int) -> Array:
    """Return smoothed inverse document frequencies, ``1 + ln((1 + n) / (1 + df))`` per bucket."""
    seen = np.zeros(buckets)
    for text in texts:
        seen[counts(text, buckets)[0]] += 1
    return np.asarray(1.0 + np.log((1 + len(texts)) / (1 + seen)), dtype=np.float32)


def _unit(places: NDArray[np.int64], values: Array) -> tuple[NDArray[np.int64], Array]:
    norm = np.linalg.norm(values)
    return places, values / norm if norm else values


def _tokens(text: str) -> list[str]:
    words = _WORD.findall(unicodedata.normalize("NFKC", text[:_MAX_CHARS]).casefold())
    tokens = [f"w {word}" for word in words]
    tokens += [f"p {first} {second}" for first, second in pairwise(words)]
    for word in words:
        padded = f" {word} "
        tokens += [
            padded[start : start + size]
            for size in _GRAMS
            for start in range(len(padded) - size + 1)
        ]
    return tokens
