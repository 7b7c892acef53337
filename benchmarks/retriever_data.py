"""Synthetic passages with the structure of real ones, for speed at sizes that no shipped corpus has.

Vectors are a mixture: cluster sizes follow a power law, members lie around their centre at cosines like
those between MiniLM vectors of one subject (about 0.5 to 0.8). Words follow the law of Zipf and Mandelbrot
as the passages of the Python and NATS documentation do. None of it means anything, so figures of quality made with it compare an index with exact search, nothing else.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.retriever.passages.store import FILE, Store, StoredPassage
from trimtab.contracts.encode import TokenVectors
from trimtab.contracts.retrieve import PUBLIC_TENANT, Hit
from trimtab.contracts.tensor import Matrix

COLLECTION = "synthetic"
COMPONENT = "synthetic@1"
DIMENSION = 384
TOKEN_DIMENSION = 128

WORDS_PER_PASSAGE, WORDS_PER_QUERY = 45, 8
"""39 distinct ones a passage; one query in 150 has none but words that more than 5 % of the passages hold.

6,637 passages of documentation have 38, and one in 80 of their first sentences, of 18 terms, is such a query: these
are the slowest to answer.
"""

_VOCABULARY, _EXPONENT, _SHIFT = 50_000, 1.15, 3.0
"""Word r in proportion to (r + shift)^-exponent: 90 % of the passages hold the first, 43 the tenth, 5 the hundredth,
0.4 the thousandth; in documentation 86, 33, 6.4 and 0.5."""

_TOKENS_PER_QUERY = 20
_NOISE = 0.75
_CHUNK = 4096


def namespace_of(dimension: int) -> str:
    """Return the space of synthetic vectors of a dimension."""
    return f"single_vector.synthetic.{dimension}.v1"


NAMESPACE = namespace_of(DIMENSION)


@dataclass(frozen=True, slots=True)
class Synthetic:
    """A collection and queries for it."""

    vectors: NDArray[np.float32]
    """(passages, dimension) unit rows."""
    queries: NDArray[np.float32]
    """(queries, dimension) unit rows, from the same clusters; none is a passage."""
    questions: list[str]
    """Words of each query."""
    query_tokens: list[TokenVectors]
    """Token vectors of each query."""


def make(passages: int, queries: int, seed: int = 0, dimension: int = DIMENSION) -> Synthetic:
    """Return a collection; the same numbers give the same one."""
    rng = np.random.default_rng(seed)
    centres = _unit(rng.standard_normal((max(16, round(passages**0.5)), dimension)))
    weights = np.arange(1, len(centres) + 1, dtype=np.float64) ** -0.6
    shares: NDArray[np.float64] = weights / weights.sum()
    vectors = np.empty((passages, dimension), dtype=np.float32)
    for start in range(0, passages, _CHUNK):
        stop = min(start + _CHUNK, passages)
        vectors[start:stop] = _around(rng, centres, shares, stop - start)
    asked = _around(rng, centres, shares, queries)
    return Synthetic(
        vectors,
        asked,
        [words(rng, WORDS_PER_QUERY) for _ in range(queries)],
        [_query_tokens(rng, query) for query in asked],
    )


def load(
    state: Path, stream: str, vectors: NDArray[np.float32], tokens: int, seed: int = 1
) -> None:
    """Write the collection straight into a retriever's store, as if it had come with the stream ``stream``.

    ``tokens`` token vectors per passage. About 10 times as fast as an ingest, and gone once the
    stream is replayed.
    """
    state.mkdir(parents=True, exist_ok=True)
    store = Store(state / FILE)
    store.begin_stream(stream)
    dimension = int(vectors.shape[1])
    token_dimension = TOKEN_DIMENSION if tokens else 0
    namespace = namespace_of(dimension)
    row = store.add_collection(COLLECTION, namespace, COMPONENT, dimension, token_dimension)
    rng = np.random.default_rng(seed)
    for start in range(0, len(vectors), _CHUNK):
        store.load(row, list(_passages(rng, vectors[start : start + _CHUNK], start, tokens)))
    store.close()


def _passages(
    rng: np.random.Generator, vectors: NDArray[np.float32], start: int, tokens: int
) -> Iterator[StoredPassage]:
    for number, vector in enumerate(vectors, start):
        hit = Hit(
            id=f"p{number}",
            article=f"a{number // 10}",
            title="",
            text=words(rng, WORDS_PER_PASSAGE),
            metadata={},
            tenant=PUBLIC_TENANT,
        )
        yield StoredPassage(number, 0, hit, vector, _tokens(rng, vector, tokens).tobytes())


def _query_tokens(rng: np.random.Generator, query: NDArray[np.float32]) -> TokenVectors:
    rows = _tokens(rng, query, _TOKENS_PER_QUERY)
    return TokenVectors(matrix=Matrix.of(rows), counts=[len(rows)])


def _tokens(rng: np.random.Generator, vector: NDArray[np.float32], count: int) -> NDArray[np.int8]:
    rows = vector[:TOKEN_DIMENSION] + 0.1 * rng.standard_normal((count, TOKEN_DIMENSION))
    return np.rint(_unit(rows) * 127).astype(np.int8)


def _around(
    rng: np.random.Generator,
    centres: NDArray[np.float32],
    shares: NDArray[np.float64],
    count: int,
) -> NDArray[np.float32]:
    picked = centres[rng.choice(len(centres), count, p=shares)]
    dimension = centres.shape[1]
    noise = rng.standard_normal((count, dimension), dtype=np.float32)
    return _unit(picked + _NOISE * noise / np.float32(dimension**0.5))


def words(rng: np.random.Generator, count: int) -> str:
    """Return so many words by the law of Zipf and Mandelbrot."""
    return " ".join(f"w{number}" for number in np.searchsorted(_cumulative(), rng.random(count)))


@functools.cache
def _cumulative() -> NDArray[np.float64]:
    """Return the probability of each word and all more frequent ones."""
    shares = (np.arange(1, _VOCABULARY + 1) + _SHIFT) ** -_EXPONENT
    total: NDArray[np.float64] = np.cumsum(shares / shares.sum())
    return total


def _unit(rows: NDArray[Any]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = np.asarray(
        rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32
    )
    return unit
