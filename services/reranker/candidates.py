"""The candidates of one query as checked arrays: what crossed the bus, trusted from here on.

Shapes that do not fit are the caller's error. A number that is not finite, or absurdly large, costs only
its candidate: it is set aside (``sound`` is False), ranked last and counted; the others are ranked.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimtab.contracts.errors import InvalidMessage
from trimtab.contracts.retrieve import MAX_POOL, Signals
from trimtab.contracts.tensor import Matrix

Row = NDArray[np.float32]

LARGEST = 1e6
"""Scores beyond it are no scores: sums of theirs could overflow float32."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """n >= 1 candidates, in the order in which they were sent. Every number is finite, none beyond 1e6."""

    fused: Row
    """(n,) retrieval score; its descending order is the retrieval order."""
    cosine: Row
    """(n,) query-passage cosine."""
    bm25: Row
    """(n,) BM25 score, >= 0."""
    maxsim: Row | None
    """(n,) MaxSim; None when query or passages had no token vectors."""
    session: Row | None
    """(n,) cosine to the mean of the caller's previous queries; None without any."""
    gram: NDArray[np.float32]
    """(n, n) passage-passage cosine, -1..1; 0 where it was not a number."""
    articles: NDArray[np.int64]
    """(n,) equal numbers are one article."""
    sound: NDArray[np.bool_]
    """(n,) False where fused, cosine, bm25, maxsim or session was not finite or beyond 1e6."""
    order: NDArray[np.intp]
    """(n,) positions by descending ``fused``, ties as sent: the order a reranker has to beat."""

    @property
    def count(self) -> int:
        """How many candidates."""
        return len(self.fused)


def from_signals(signals: Signals) -> Candidates:
    """Check the signals of one request.

    Raises:
        InvalidMessage: a matrix has not the shape or dtype of the contract, or there are more than
            200 candidates.
    """
    count = signals.fused.dim
    if count > MAX_POOL:
        raise InvalidMessage("Signals", f"{count} candidates, at most {MAX_POOL}")
    if len(signals.articles) != count:
        raise InvalidMessage("Signals", f"articles must be {count}, not {len(signals.articles)}")
    rows = {
        "fused": _row("fused", signals.fused, count),
        "cosine": _row("cosine", signals.cosine, count),
        "bm25": _row("bm25", signals.bm25, count),
    }
    if signals.maxsim is not None:
        rows["maxsim"] = _row("maxsim", signals.maxsim, count)
    if signals.session is not None:
        rows["session"] = _row("session", signals.session, count)
    sound = np.ones(count, dtype=np.bool_)
    for row in rows.values():
        sound &= np.abs(row) <= LARGEST  # NaN compares False
    if not sound.all():
        rows = {name: _without(row, sound, name) for name, row in rows.items()}
    gram = np.nan_to_num(_matrix("gram", signals.gram, "f16", count, count).astype(np.float32))
    return Candidates(
        fused=rows["fused"],
        cosine=rows["cosine"],
        bm25=np.maximum(rows["bm25"], np.float32(0.0)),
        maxsim=rows.get("maxsim"),
        session=rows.get("session"),
        gram=np.clip(gram, -1.0, 1.0),
        articles=_articles(signals.articles),
        sound=sound,
        order=np.argsort(-rows["fused"], kind="stable"),
    )


def _row(what: str, matrix: Matrix, count: int) -> Row:
    row: Row = _matrix(what, matrix, "f32", 1, count)[0]
    return row


def _matrix(what: str, matrix: Matrix, dtype: str, rows: int, columns: int) -> NDArray[np.generic]:
    if (matrix.dtype, matrix.rows, matrix.dim) != (dtype, rows, columns):
        raise InvalidMessage(
            "Signals",
            f"{what} must be {rows}x{columns} {dtype}, "
            f"not {matrix.rows}x{matrix.dim} {matrix.dtype}",
        )
    return matrix.array()


def _articles(numbers: list[int]) -> NDArray[np.int64]:
    try:
        return np.array(numbers, dtype=np.int64)
    except OverflowError:
        raise InvalidMessage("Signals", "an article number does not fit 64 bits") from None


def _without(row: Row, sound: NDArray[np.bool_], name: str) -> Row:
    """Give candidates that are set aside the value of one of which nothing speaks."""
    least = float(row[sound].min(initial=0.0)) if name == "fused" else 0.0
    return np.where(sound, row, np.float32(least))
