"""Next-passage retrieval on ``opsdocs``: windows of five passages of one article, and where the sixth comes.

The passages are encoded as an ingest encodes them, and every one of them is searched, exactly; the five of
the window are left out, and a copy of the right answer counts neither for nor against it.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.rerank_data import DATA, DataMissing
from benchmarks.rerank_texts import Encoder
from services.retriever.querymodel.model import WINDOW, Vectors
from services.retriever.querymodel.windows import Part, Place, Windows, part_of, windows_of

NAMESPACE = "single_vector.minilm.384.v1"

Predict = Callable[[Vectors], Vectors]
"""The unit vector (dimension,) to search with for a window (5, dimension)."""


@dataclass(frozen=True, slots=True)
class Passages:
    """The collection: what stands where, and its vectors."""

    places: list[Place]
    """Of each passage."""
    texts: NDArray[np.int64]
    """Number of each passage's title and text; copies share one."""
    bodies: NDArray[np.int64]
    """Number of each passage's text alone, likewise."""
    vectors: Vectors
    """(n, dimension), unit rows."""
    encoder: str
    """Component and hash."""

    def windows(self, part: Part) -> Windows:
        """Return the windows of one part whose next passage is no copy of one that was read.

        None with a text that stands in an article of another part as well: training may have seen it.
        """
        found = windows_of(self.places).part(part)
        fresh = ~(self.texts[found.read] == self.texts[found.target][:, np.newaxis]).any(axis=1)
        others = np.array([part_of(place.article) != part for place in self.places])
        unseen = ~np.isin(self.bodies[found.rows], self.bodies[others]).any(axis=1)
        kept = np.flatnonzero(fresh & unseen)
        return Windows(found.rows[kept], [found.articles[n] for n in kept])


@dataclass(frozen=True, slots=True)
class Found:
    """What one way of making the vector found."""

    ranks: NDArray[np.int64]
    """(n,) rank of the next passage, from 1."""
    cosines: NDArray[np.float64]
    """(n,) of the vector that was searched with and the next passage's."""


def read(data: Path = DATA) -> Passages:
    """Read and encode the collection; encoding is kept, so the next time takes a second.

    Raises:
        DataMissing: the file is not there.
    """
    path = data / "opsdocs" / "passages.jsonl"
    if not path.is_file():
        raise DataMissing(path)
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    texts = [f"{row['title']}\n{row['text']}" if row["title"] else row["text"] for row in rows]
    encoder = Encoder()
    places = [Place(f"{row['source']}/{row['article']}", row["seq"]) for row in rows]
    vectors = encoder.encode("opsdocs-whole", texts).vectors
    bodies = _numbers([row["text"] for row in rows])
    return Passages(places, _numbers(texts), bodies, vectors, encoder.component)


def search(passages: Passages, windows: Windows, predict: Predict) -> Found:
    """Search every window's next passage among all passages but the window's own."""
    ranks, cosines = [], []
    for row in windows.rows:
        read_rows, target = row[:WINDOW], row[WINDOW]
        scores = passages.vectors @ predict(passages.vectors[read_rows])
        before = scores > scores[target]
        before[read_rows] = False
        before[passages.texts == passages.texts[target]] = False
        ranks.append(1 + int(np.count_nonzero(before)))
        cosines.append(float(scores[target]))
    return Found(np.array(ranks, dtype=np.int64), np.array(cosines))


def _numbers(texts: Sequence[str]) -> NDArray[np.int64]:
    _, numbers = np.unique(np.array(texts), return_inverse=True)
    return numbers.astype(np.int64)
