"""Inverse cloze on the ops documentation: a passage's first sentence must find the rest of it.

No labels are needed, and nothing here was seen when the model was trained on it as such a pair.
Confidence intervals resample whole articles: passages of one article are no independent evidence.
"""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

DATA = Path("../shared/data/opsdocs/passages.jsonl")
"""Where the passages are, from the repository's root."""

LEAST_QUERY_WORDS = 5
LEAST_REST_WORDS = 12

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9\"'(`])")

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Clozes:
    """Queries, what each must find, and what it must be told from."""

    passages: tuple[str, ...]
    """Every distinct passage, whole."""
    queries: tuple[str, ...]
    """First sentences."""
    rests: tuple[str, ...]
    """The other sentences of the same passage, per query."""
    source: NDArray[np.int64]
    """Row in ``passages`` of each query's own passage: taken out of its corpus."""
    article: NDArray[np.int64]
    """Article number of each query."""


def load(path: Path = DATA, limit: int | None = None) -> Clozes:
    """Read the passages and make every query they allow, or ``limit`` evenly spread ones.

    Raises:
        SystemExit: the data is not on this machine; says so and ends with status 0.
    """
    if not path.is_file():
        print(f"skipped: {path} is not here; this benchmark needs the ops documentation")
        raise SystemExit(0)
    with path.open(encoding="utf-8") as lines:
        return make([json.loads(line) for line in lines], limit)


def make(rows: list[dict[str, str]], limit: int | None = None) -> Clozes:
    """Return the clozes of rows with ``text``, ``article`` and ``source``."""
    distinct = {row["text"]: f"{row['source']}/{row['article']}" for row in rows}
    articles = {name: number for number, name in enumerate(sorted(set(distinct.values())))}
    split = [(i, a, _split(text)) for i, (text, a) in enumerate(distinct.items())]
    usable = [(i, articles[a], parts) for i, a, parts in split if parts is not None]
    if limit is not None and limit < len(usable):
        usable = [usable[i] for i in np.linspace(0, len(usable) - 1, limit).astype(int)]
    return Clozes(
        tuple(distinct),
        tuple(parts[0] for _, _, parts in usable),
        tuple(parts[1] for _, _, parts in usable),
        np.array([i for i, _, _ in usable]),
        np.array([article for _, article, _ in usable]),
    )


def thin(clozes: Clozes, passages: int) -> Clozes:
    """Return the same queries among fewer passages: their own, and evenly spread others."""
    own = set(clozes.source.tolist())
    others = [row for row in range(len(clozes.passages)) if row not in own]
    wanted = max(passages - len(own), 0)
    chosen = np.linspace(0, len(others) - 1, min(wanted, len(others))).astype(int)
    kept = sorted(own | {others[i] for i in chosen})
    moved = {row: position for position, row in enumerate(kept)}
    return replace(
        clozes,
        passages=tuple(clozes.passages[row] for row in kept),
        source=np.array([moved[row] for row in clozes.source.tolist()]),
    )


def _split(text: str) -> tuple[str, str] | None:
    first, *rest = _SENTENCE_END.split(text, maxsplit=1)
    if (
        not rest
        or len(first.split()) < LEAST_QUERY_WORDS
        or len(rest[0].split()) < LEAST_REST_WORDS
    ):
        return None
    return first, rest[0]


def ranks(
    clozes: Clozes,
    passages: NDArray[np.float32],
    queries: NDArray[np.float32],
    rests: NDArray[np.float32],
) -> NDArray[np.int64]:
    """Return the rank of each query's own rest among it and all other passages; 1 is best.

    A tie counts against it.
    """
    own = np.einsum("ij,ij->i", queries, rests)
    better = np.empty(len(queries), dtype=np.int64)
    for start in range(0, len(queries), 512):
        part = slice(start, start + 512)
        scores = queries[part] @ passages.T
        scores[np.arange(len(scores)), clozes.source[part]] = -np.inf
        better[part] = (scores >= own[part, None]).sum(axis=1)
    return better + 1


def measures(rank: NDArray[np.int64]) -> dict[str, Array]:
    """Return R@1, R@5 and reciprocal rank per query, percent."""
    return {
        "R@1": np.where(rank <= 1, 100.0, 0.0),
        "R@5": np.where(rank <= 5, 100.0, 0.0),
        "MRR": 100.0 / rank,
    }


def interval(values: Array, article: NDArray[np.int64], rounds: int = 2000) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean, resampling whole articles."""
    names, inverse = np.unique(article, return_inverse=True)
    sums = np.bincount(inverse, weights=values)
    sizes = np.bincount(inverse)
    drawn = np.random.default_rng(0).integers(0, len(names), (rounds, len(names)))
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
