"""What a request carries, checked against what it is to be compared with: vectors and token vectors."""

import numpy as np
from numpy.typing import NDArray

from services.retriever.passages.passage import NORM_TOLERANCE, Refusal, unit_row
from trimtab.contracts.encode import TokenVectors
from trimtab.contracts.errors import DimensionMismatch, InvalidMessage
from trimtab.contracts.sparse import SparseRow, SparseSpace, SparseVectors
from trimtab.contracts.tensor import Matrix


def unit_vector(what: str, matrix: Matrix, dimension: int) -> NDArray[np.float32]:
    """Return the one row of a query's matrix.

    Raises:
        DimensionMismatch: it is not of ``dimension``.
        InvalidMessage: it is not one row of f32 of unit length.
    """
    if matrix.dim != dimension:
        raise DimensionMismatch(what, matrix.dim, dimension)
    row = unit_row(matrix)
    if isinstance(row, Refusal):
        raise InvalidMessage(what, "must be one row of f32 of unit length; send (1, dimension)")
    return row


def session(matrix: Matrix | None, dimension: int) -> NDArray[np.float32] | None:
    """Return the one row of a session's mean; None without one; raises as :func:`unit_vector`."""
    return None if matrix is None else unit_vector("session vector", matrix, dimension)


def unit_rows(what: str, matrix: Matrix, dimension: int) -> NDArray[np.float32]:
    """Return the rows of a matrix of unit vectors.

    Raises:
        DimensionMismatch: they are not of ``dimension``.
        InvalidMessage: they are not f32 rows of unit length.
    """
    if matrix.dim != dimension:
        raise DimensionMismatch(what, matrix.dim, dimension)
    rows = matrix.array()
    if matrix.dtype != "f32" or not np.all(
        np.abs(np.linalg.norm(rows, axis=1) - 1.0) < NORM_TOLERANCE  # False for NaN too
    ):
        raise InvalidMessage(what, "must be rows of f32 of unit length; send (n, dimension)")
    return rows


def sparse_row(
    collection: str, vectors: SparseVectors | None, space: SparseSpace | None
) -> SparseRow | None:
    """Return a query's learned sparse vector; None without one, or when the collection has none to compare.

    Raises:
        NamespaceMismatch: it is of another space than the collection's.
        InvalidMessage: it is not the vector of one text.
    """
    if vectors is None:
        return None
    row = vectors.row()
    if space is None:
        return None
    space.require(vectors.space, f"the sparse vector for collection {collection!r}")
    return row


def one_text(what: str, tokens: TokenVectors | None) -> NDArray[np.int8] | None:
    """Return the (tokens, dimension) int8 rows of one text; None when it has none.

    Raises:
        InvalidMessage: they are not int8, or not of one text.
    """
    if tokens is None or tokens.matrix.rows == 0:
        return None
    if tokens.counts != [tokens.matrix.rows]:
        raise InvalidMessage(what, "must be the token vectors of one text")
    return _rows(what, tokens)


def several_texts(what: str, tokens: TokenVectors | None, texts: int) -> list[bytes] | None:
    """Return each text's int8 rows as bytes; None when there are none at all.

    Raises:
        InvalidMessage: they are not int8, or the counts do not fit the texts and rows.
    """
    if tokens is None or tokens.matrix.rows == 0:
        return None
    counts = tokens.counts
    if len(counts) != texts or min(counts) < 0 or sum(counts) != tokens.matrix.rows:
        raise InvalidMessage(what, f"counts must be {texts} numbers that sum to the rows")
    rows = _rows(what, tokens)
    ends = np.cumsum(counts).tolist()
    return [rows[end - count : end].tobytes() for end, count in zip(ends, counts, strict=True)]


def _rows(what: str, tokens: TokenVectors) -> NDArray[np.int8]:
    if tokens.matrix.dtype != "i8":
        raise InvalidMessage(what, "must be int8: the unit vector's components times 127")
    return tokens.matrix.array()
