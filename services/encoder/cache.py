"""Vectors already computed, by content hash: bounded, least recently used goes first."""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trimtab.contracts.sparse import SparseRow

_OVERHEAD_BYTES = 400
"""What an entry costs beside its arrays: key, dictionary slot, objects."""


@dataclass(frozen=True, slots=True)
class EncodedText:
    """Everything a reply says of one text."""

    vector: NDArray[np.float32]
    """(dimension,), unit length."""
    tokens: NDArray[np.int8] | None
    """(tokens, 128); None when nobody asked yet, or the backend gives none."""
    seen: int
    """Tokens as the model saw it, special tokens included."""
    total: int
    """Tokens of the whole text; above ``seen`` when it was truncated."""
    sparse: SparseRow | None = None
    """Learned sparse vector; None when nobody asked yet, or no model makes them."""

    def lacks(self, *, tokens: bool, sparse: bool) -> bool:
        """Whether something that is wanted was not computed."""
        return (tokens and self.tokens is None) or (sparse and self.sparse is None)

    @property
    def size(self) -> int:
        """Bytes it occupies, about."""
        tokens = self.tokens.nbytes if self.tokens is not None else 0
        sparse = self.sparse.ids.nbytes + self.sparse.weights.nbytes if self.sparse else 0
        return self.vector.nbytes + tokens + sparse + _OVERHEAD_BYTES


def cache_key(content_hash: str, profile: str, text: str) -> bytes:
    """Return the sha256 over what decides a text's vectors: component content, profile, text."""
    digest = hashlib.sha256(f"{content_hash}\0{profile}\0".encode())
    digest.update(text.encode())
    return digest.digest()


@dataclass
class TextCache:
    """Bounded by entries and by bytes, whichever is reached first. For one thread."""

    max_entries: int
    """Most texts kept; 0 keeps none."""
    max_bytes: int
    """Most memory kept, bytes."""
    hits: int = 0
    """Look-ups answered."""
    misses: int = 0
    """Look-ups not answered."""
    size: int = 0
    """Bytes held now."""
    _entries: "OrderedDict[bytes, EncodedText]" = field(default_factory=OrderedDict)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def hit_ratio(self) -> float:
        """Share of look-ups answered, 0..1; 0 before the first."""
        looked_up = self.hits + self.misses
        return self.hits / looked_up if looked_up else 0.0

    def get(self, key: bytes, *, tokens: bool, sparse: bool = False) -> EncodedText | None:
        """Return the entry, or None; one without token or sparse vectors is no answer when they are wanted."""
        entry = self._entries.get(key)
        if entry is None or entry.lacks(tokens=tokens, sparse=sparse):
            self.misses += 1
            return None
        self.hits += 1
        self._entries.move_to_end(key)
        return entry

    def put(self, key: bytes, entry: EncodedText) -> None:
        """Keep an entry, dropping the least recently used ones to stay within both bounds."""
        replaced = self._entries.pop(key, None)
        self.size += entry.size - (replaced.size if replaced is not None else 0)
        self._entries[key] = entry
        while self._entries and (
            len(self._entries) > self.max_entries or self.size > self.max_bytes
        ):
            _, dropped = self._entries.popitem(last=False)
            self.size -= dropped.size
