"""A passage on its way from the stream into a collection, or out of it: checked once, then trusted."""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from trimtab.contracts.documents import IndexedPassage
from trimtab.contracts.errors import InvalidMessage
from trimtab.contracts.retrieve import Hit
from trimtab.contracts.sparse import SparseRow, SparseSpace
from trimtab.contracts.tensor import Matrix

NORM_TOLERANCE = 1e-3
"""How far a vector's length may be from 1; encoders promise 1e-5, fp16 storage costs the rest."""


class Refusal(StrEnum):
    """Why a passage of the stream was not stored: nobody waits for a reply, so it is counted."""

    UNREADABLE = "unreadable"
    NAMESPACE = "namespace"
    DIMENSION = "dimension"
    NORM = "norm"
    TOKENS = "tokens"
    SPARSE = "sparse"


class RefusedPassage(Exception):
    """A message of the stream that cannot become a passage."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.value)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Passage:
    """What the stream said at one sequence."""

    sequence: int
    """Stream sequence of the message."""
    collection: str
    """Where it lives."""
    namespace: str
    """Space of its vectors."""
    component: str
    """Encoder component that made them."""
    content_hash: str
    """Equal hash of the same passage = nothing to do."""
    hit: Hit
    """What a search returns; its id is unique within tenant and collection."""
    vector: NDArray[np.float32]
    """(dimension,) of unit length."""
    tokens: bytes
    """Token vectors, row-major int8; empty without."""
    token_dimension: int
    """Columns of the same; 0 without."""
    sparse: bytes = b""
    """Learned sparse vector as :func:`packed` makes it; empty without."""
    space: SparseSpace | None = None
    """Of the same."""


@dataclass(frozen=True, slots=True)
class Removal:
    """What the stream said at one sequence of a passage that is gone."""

    sequence: int
    """Stream sequence of the message."""
    collection: str
    """Where it lived."""
    tenant: str
    """Its owner."""
    id: str
    """Unique within tenant and collection."""


def packed(row: SparseRow) -> bytes:
    """Return a sparse vector as it is stored: uint32 ids, then as many float16 weights."""
    return row.ids.astype("<u4").tobytes() + row.weights.astype("<f2").tobytes()


def unpacked(stored: bytes) -> SparseRow:
    """Return what :func:`packed` was given, weights rounded to 16 bits."""
    count = len(stored) // 6
    ids = np.frombuffer(stored, dtype="<u4", count=count)
    weights = np.frombuffer(stored, dtype="<f2", offset=4 * count, count=count)
    return SparseRow(ids, weights.astype(np.float32))


def searched_words(hit: Hit) -> str:
    """Return the words of a stored passage that the lexical half searches."""
    return f"{hit.title} {hit.text}"


def unit_row(matrix: Matrix) -> NDArray[np.float32] | Refusal:
    """Return the one row of a unit vector's matrix, or what is wrong with it."""
    try:
        array = matrix.array()
    except InvalidMessage:
        return Refusal.DIMENSION
    if array.shape[0] != 1 or array.dtype != np.float32:
        return Refusal.DIMENSION
    row: NDArray[np.float32] = array[0]
    if not abs(math.sqrt(float(row @ row)) - 1.0) < NORM_TOLERANCE:  # also refuses NaN
        return Refusal.NORM
    return row


def from_message(message: IndexedPassage, sequence: int) -> Passage:
    """Check one message of the stream.

    Raises:
        RefusedPassage: a vector is not one unit row of f32, token vectors do not fit their counts, or a sparse
            vector is not what it must be.
    """
    row = unit_row(message.vector)
    if isinstance(row, Refusal):
        raise RefusedPassage(row)
    tokens, token_dimension = _tokens(message)
    sparse = _sparse(message)
    document = message.document
    return Passage(
        sequence=sequence,
        collection=message.collection,
        namespace=message.namespace,
        component=message.component,
        content_hash=message.content_hash,
        hit=Hit(
            id=document.id,
            article=document.article or document.id,
            title=document.title,
            text=document.text,
            metadata=document.metadata,
            tenant=document.tenant,
        ),
        vector=row,
        tokens=tokens,
        token_dimension=token_dimension,
        sparse=b"" if sparse is None else packed(sparse),
        space=None if sparse is None or message.sparse is None else message.sparse.space,
    )


def _tokens(message: IndexedPassage) -> tuple[bytes, int]:
    if message.tokens is None:
        return b"", 0
    matrix = message.tokens.matrix
    try:
        matrix.array()
    except InvalidMessage:
        raise RefusedPassage(Refusal.TOKENS) from None
    if matrix.dtype != "i8" or message.tokens.counts != [matrix.rows]:
        raise RefusedPassage(Refusal.TOKENS)
    return matrix.data, matrix.dim


def _sparse(message: IndexedPassage) -> SparseRow | None:
    try:
        return None if message.sparse is None else message.sparse.row()
    except InvalidMessage:
        raise RefusedPassage(Refusal.SPARSE) from None
