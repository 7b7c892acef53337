"""Learned sparse vectors on the wire: the few terms of a vocabulary that a text stands for, and their weights.

Weights of two models, or of one model over two vocabularies, cannot be compared: every vector names its space.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from trimtab.contracts.errors import InvalidMessage, NamespaceMismatch
from trimtab.contracts.message import Message

MAX_ENTRIES = 512
"""Most terms of one text."""

MAX_VOCABULARY = 1 << 20
"""Most terms of a vocabulary."""

LEAST_WEIGHT = 2.0**-14
"""Smallest weight: the least normal number of 16 bits; what is less says nothing."""

GREATEST_WEIGHT = 1000.0
"""Largest weight; a model's are below 10."""

SPACE_PATTERN = r"^learned_sparse\.[a-z0-9_-]+\.v[0-9]+$"
"""Form of a space's name; JSON Schema dialect."""

Kind = Literal["query", "passage"]
"""What a text is: a query keeps fewer terms."""

_NUMPY: dict[str, np.dtype[Any]] = {"f32": np.dtype("<f4"), "f16": np.dtype("<f2")}
_IDS = np.dtype("<u4")


class SparseSpace(Message, frozen=True, kw_only=True):
    """What ids and weights mean."""

    namespace: Annotated[str, Meta(pattern=SPACE_PATTERN.replace("$", r"\Z"), max_length=120)]
    """``learned_sparse.<model>.v<n>``."""
    vocabulary: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    """sha256 of the vocabulary: its terms in the order of their ids."""
    size: Annotated[int, Meta(ge=1, le=MAX_VOCABULARY)]
    """Terms of the vocabulary; ids are below it."""

    def __str__(self) -> str:
        return f"{self.namespace}#{self.vocabulary[:12]}"

    def require(self, other: "SparseSpace", what: str) -> None:
        """Refuse what is of another space.

        Raises:
            NamespaceMismatch: ``other``, which ``what`` is of, differs in name or vocabulary.
        """
        if other != self:
            raise NamespaceMismatch(what, str(other), str(self))


@dataclass(frozen=True, slots=True)
class SparseRow:
    """The vector of one text."""

    ids: NDArray[np.uint32]
    """(n,) ascending, distinct; n may be 0: a text that stands for nothing."""
    weights: NDArray[np.float32]
    """(n,) > 0."""


class SparseVectors(Message, frozen=True, kw_only=True):
    """The vectors of several texts, one after the other."""

    space: SparseSpace
    """Of all of them."""
    counts: Annotated[list[Annotated[int, Meta(ge=0, le=MAX_ENTRIES)]], Meta(max_length=256)]
    """Terms of each text, in order."""
    dtype: Literal["f32", "f16"]
    """Of the weights."""
    ids: bytes
    """uint32, little-endian; ascending within each text."""
    weights: bytes
    """As many numbers of ``dtype``, little-endian."""

    @classmethod
    def of(
        cls, space: SparseSpace, rows: Sequence[SparseRow], dtype: Literal["f32", "f16"] = "f16"
    ) -> "SparseVectors":
        """Wrap the vectors of some texts."""
        ids = [row.ids.astype(_IDS).tobytes() for row in rows]
        weights = [row.weights.astype(_NUMPY[dtype]).tobytes() for row in rows]
        counts = [len(row.ids) for row in rows]
        return cls(
            space=space, counts=counts, dtype=dtype, ids=b"".join(ids), weights=b"".join(weights)
        )

    def rows(self) -> list[SparseRow]:
        """Return the checked vector of each text.

        Raises:
            InvalidMessage: bytes do not fit the counts, ids are not ascending or not of the vocabulary, or
                a weight is not a number between ``LEAST_WEIGHT`` and ``GREATEST_WEIGHT``.
        """
        total, width = sum(self.counts), _NUMPY[self.dtype].itemsize
        if len(self.ids) != total * _IDS.itemsize or len(self.weights) != total * width:
            raise _invalid(f"{total} terms need {4 * total} and {width * total} bytes")
        ids = np.frombuffer(self.ids, dtype=_IDS)
        weights = np.frombuffer(self.weights, dtype=_NUMPY[self.dtype]).astype(np.float32)
        if total and int(ids.max()) >= self.space.size:
            raise _invalid(f"an id is not below {self.space.size}, the size of the vocabulary")
        if not np.all((weights >= LEAST_WEIGHT) & (weights <= GREATEST_WEIGHT)):  # nor is NaN
            raise _invalid(f"a weight is not between {LEAST_WEIGHT:g} and {GREATEST_WEIGHT:g}")
        counts = np.array(self.counts, dtype=np.int64)
        ends = np.cumsum(counts)
        rising = np.diff(ids.astype(np.int64), prepend=-1) > 0
        rising[(ends - counts)[counts > 0]] = True  # the first of each text
        if not rising.all():
            raise _invalid("the ids of a text are not ascending; sort them, each once")
        return [
            SparseRow(ids[end - count : end], weights[end - count : end])
            for end, count in zip(ends.tolist(), self.counts, strict=True)
        ]

    def row(self) -> SparseRow:
        """Return the checked vector of the one text.

        Raises:
            InvalidMessage: there are several, or :meth:`rows` refuses it.
        """
        if len(self.counts) != 1:
            raise _invalid(f"{len(self.counts)} texts, expected one")
        return self.rows()[0]

    def apart(self) -> list["SparseVectors"]:
        """Return the vector of each text by itself; raises what :meth:`rows` does."""
        return [SparseVectors.of(self.space, [row], self.dtype) for row in self.rows()]


def _invalid(problem: str) -> InvalidMessage:
    return InvalidMessage("SparseVectors", problem)
