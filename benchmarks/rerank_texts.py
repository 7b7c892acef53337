"""Texts of labelled tasks as the shipped encoder encodes them, in this process.

Encoding is cached below ``var/bench/rerank`` by content, so a second run takes seconds.
"""

import hashlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.rerank_data import Split, Task, asked_of
from services.encoder.build import build_component
from services.encoder.component import ComponentBackend, open_component
from services.encoder.shipped import DEFAULT
from services.encoder.tokenizer import fit
from trimtab.artifacts.manifest import read_manifest
from trimtab.contracts.documents import Document

_BENCH = Path(__file__).parents[1] / "var" / "bench"
BUILT = _BENCH / "components" / "built"
CACHE = _BENCH / "rerank"
"""Encoded texts; safe to delete."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Encoded texts."""

    vectors: NDArray[np.float32]
    """(texts, dimension), unit rows."""
    tokens: NDArray[np.int8]
    """(sum of counts, 128): token vectors of all texts, one below the other."""
    counts: NDArray[np.int64]
    """(texts,) rows of each text."""

    def tokens_of(self) -> Iterator[NDArray[np.int8]]:
        """Yield each text's token vectors."""
        yield from np.split(self.tokens, np.cumsum(self.counts)[:-1])


class Encoder:
    """The shipped encoder, in this process, with a cache of whole collections."""

    def __init__(self, cache: Path = CACHE) -> None:
        """Build the component if it is not there; it is opened when something is not in the cache."""
        self._cache = cache
        cache.mkdir(parents=True, exist_ok=True)
        self._folder = build_component(DEFAULT, BUILT, progress)
        self._hash = read_manifest(self._folder).hash
        self._backend: ComponentBackend | None = None

    @property
    def component(self) -> str:
        """Reference and content hash of what encodes."""
        return f"{DEFAULT} {self._hash[:12]}"

    def encode(self, name: str, texts: Sequence[str]) -> Texts:
        """Return the vectors of texts, from the cache when the same texts were encoded before."""
        digest = hashlib.sha256("\0".join((self._hash, *texts)).encode()).hexdigest()[:16]
        path = self._cache / f"{name}-{digest}.npz"
        if path.is_file():
            with np.load(path) as stored:
                return Texts(stored["vectors"], stored["tokens"], stored["counts"])
        encoded = self._encode(name, texts)
        partial = path.with_suffix(".partial.npz")
        np.savez(partial, vectors=encoded.vectors, tokens=encoded.tokens, counts=encoded.counts)
        partial.rename(path)
        return encoded

    def passages(self, task: Task) -> Texts:
        """Return the vectors of a task's documents."""
        parts = task.parts or (task,)
        return _joined(
            self.encode(f"{part.name}-passages", [_searchable(each) for each in part.documents])
            for part in parts
        )

    def queries(self, task: Task, split: Split) -> Texts:
        """Return the vectors of one split's queries."""
        parts = task.parts or (task,)
        return _joined(
            self.encode(f"{part.name}-{split}", [query.text for query in asked_of(part, split)])
            for part in parts
        )

    def _encode(self, name: str, texts: Sequence[str]) -> Texts:
        backend = self._backend = self._backend or open_component(self._folder)
        vectors: list[NDArray[np.float32]] = []
        tokens: list[NDArray[np.int8]] = []
        for number, text in enumerate(texts):
            if number % 500 == 0:
                progress(f"encoding {name}: {number} of {len(texts)}")
            ids = fit(backend.tokenize([text])[0], backend.specials, backend.max_tokens).ids
            one = backend.encode([ids], tokens=True)
            vectors.append(one.vectors)
            tokens.extend(one.tokens or ())
        counts = np.array([len(rows) for rows in tokens], dtype=np.int64)
        return Texts(np.concatenate(vectors), np.concatenate(tokens), counts)


def _joined(parts: Iterable[Texts]) -> Texts:
    """Return several texts' vectors as one, in their order."""
    found = list(parts)
    return Texts(
        np.concatenate([part.vectors for part in found]),
        np.concatenate([part.tokens for part in found]),
        np.concatenate([part.counts for part in found]),
    )


def _searchable(document: Document) -> str:
    """Return the text that an ingest encodes."""
    return f"{document.title}\n{document.text}" if document.title else document.text


def progress(line: str) -> None:
    """Say on stderr what goes on."""
    print(line, file=sys.stderr, flush=True)
