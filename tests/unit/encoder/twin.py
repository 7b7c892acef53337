"""A deterministic twin of an encoder: one token per word, vectors drawn from the token ids."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.encoder.backend import BatchLimits, Encoded
from services.encoder.tokenizer import Specials

NAMESPACE = "single_vector.twin.8.v1"
OPEN, CLOSE = 1, 2
"""Special tokens around every text."""


@dataclass
class Twin:
    """Tokens of unknown words are left out, as a real tokenizer leaves out control characters."""

    namespace: str = NAMESPACE
    dimension: int = 8
    max_tokens: int = 6
    profile: str = "twin"
    gives_tokens: bool = True
    limits: BatchLimits = field(default_factory=lambda: BatchLimits(texts=4, tokens=100))
    specials: Specials = field(default_factory=lambda: Specials(1, 1))
    length: float = 1.0
    """Of every vector it makes; anything but 1 is a broken model."""
    calls: list[list[list[int]]] = field(default_factory=list)
    """Token ids of every model call."""
    fails_with: Exception | None = None
    """Raised by the next model calls."""

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Number words by their letters."""
        words = [[w for w in text.split() if w.isprintable()] for text in texts]
        return [[OPEN, *(sum(w.encode()) + 3 for w in row), CLOSE] for row in words]

    def encode(self, ids: Sequence[Sequence[int]], *, tokens: bool) -> Encoded:
        """Draw one vector per text, from its ids alone."""
        self.calls.append([list(text) for text in ids])
        if self.fails_with is not None:
            raise self.fails_with
        vectors = np.stack([self.vector(text) for text in ids])
        small = tuple(np.array([[i % 127] * 4 for i in text], dtype=np.int8) for text in ids)
        return Encoded(vectors, small if tokens else None)

    def vector(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Return the vector of a text given as ids."""
        drawn = np.random.default_rng(list(ids)).normal(size=self.dimension)
        unit: NDArray[np.float32] = (drawn / np.linalg.norm(drawn) * self.length).astype(np.float32)
        return unit

    def close(self) -> None:
        """Nothing is held."""
