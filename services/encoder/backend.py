"""What every encoder engine does, whatever runs the model: token ids to unit vectors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.encoder.tokenizer import Specials


@dataclass(frozen=True, slots=True)
class Encoded:
    """Vectors of one batch, in its order."""

    vectors: NDArray[np.float32]
    """(texts, dimension), rows of unit length within 1e-5."""
    tokens: tuple[NDArray[np.int8], ...] | None
    """Per text (tokens, 128): unit vectors times 127; None when not asked for or not to be had."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How much one model call may hold; a request that comes meanwhile waits for all of it."""

    texts: int
    """Most texts."""
    tokens: int
    """Most tokens, about."""


class EncoderBackend(Protocol):
    """One loaded encoder. Called from one thread only; a text's vector never depends on its batch."""

    @property
    def namespace(self) -> str:
        """Vector space."""

    @property
    def dimension(self) -> int:
        """Numbers per vector."""

    @property
    def max_tokens(self) -> int:
        """Token budget of one text, special tokens included."""

    @property
    def profile(self) -> str:
        """How the vectors are computed."""

    @property
    def gives_tokens(self) -> bool:
        """Whether token vectors are to be had."""

    @property
    def limits(self) -> BatchLimits:
        """What one call may hold."""

    @property
    def specials(self) -> Specials:
        """Special tokens around every text."""

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Return all token ids of each text, special tokens included, not truncated."""

    def encode(self, ids: Sequence[Sequence[int]], *, tokens: bool) -> Encoded:
        """Return the vectors of texts given as token ids, each within the budget.

        Raises:
            TrimtabError: the engine failed.
        """

    def close(self) -> None:
        """Let go of what the engine holds."""


class PackageMissing(Exception):
    """An engine's package is not installed; the message holds the pip command."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed; run: pip install 'trimtab[{extra}]'")
        self.package = package
