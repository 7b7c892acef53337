"""Candidates of labelled queries, made by the encoder's and the retriever's own code as they serve.

Encoding is cached below ``var/bench/rerank`` by content, so a second run takes seconds; retrieval is
done anew each time, so it is always the retriever of this checkout.
"""

import hashlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.rerank_data import Query, Task
from services.encoder.build import build_component
from services.encoder.component import ComponentBackend, open_component
from services.encoder.shipped import DEFAULT
from services.encoder.tokenizer import fit
from services.retriever.collection import Change, Collection
from services.retriever.edition import Edition
from services.retriever.index import use_one_thread
from services.retriever.lexical import LexicalIndex
from services.retriever.plan import Plan, load_plan
from services.retriever.search import retrieve
from services.retriever.store import CollectionRow, StoredPassage
from services.retriever.terms import Stem, english_stemmer, terms
from trimtab.artifacts.manifest import read_manifest
from trimtab.contracts.documents import Document
from trimtab.contracts.encode import TokenVectors
from trimtab.contracts.retrieve import PUBLIC_TENANT, Hit, RetrieveRequest, Signals
from trimtab.contracts.tensor import Matrix

_BENCH = Path(__file__).parents[1] / "var" / "bench"
BUILT = _BENCH / "components" / "built"
CACHE = _BENCH / "rerank"
"""Encoded texts; safe to delete."""

POOL = 50
"""Candidates per query."""

Split = Literal["train", "test"]

_NO_LIMIT = 1 << 30
_RETRIEVER = Path(__file__).parents[1] / "services" / "retriever" / "components" / "hybrid@1"


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


@dataclass(frozen=True, slots=True)
class Pool:
    """What the retriever found for one query."""

    query: Query
    """The question."""
    signals: Signals
    """Of its candidates, in retrieval order."""
    relevant: int
    """Position of the right answer among them; -1 when it is not there."""
    dense_rank: int
    """Rank of the right answer among the 50 nearest vectors, from 1; 0 when it is not there."""
    lexical_rank: int
    """The same among the 50 best by BM25."""


@dataclass(frozen=True, slots=True)
class ServingPlan:
    """What the shipped retriever component does."""

    plan: Plan
    """How candidates are found and fused."""
    component: str
    """Reference and content hash."""


def serving_plan() -> ServingPlan:
    """Return the plan of the shipped retriever component."""
    plan, manifest = load_plan(_RETRIEVER)
    return ServingPlan(plan, f"{manifest.reference} {manifest.hash[:12]}")


class Encoder:
    """The shipped encoder, in this process, with a cache of whole collections."""

    def __init__(self, cache: Path = CACHE) -> None:
        """Build the component if it is not there; it is opened when something is not in the cache."""
        self._cache = cache
        cache.mkdir(parents=True, exist_ok=True)
        self._folder = build_component(DEFAULT, BUILT, _progress)
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

    def _encode(self, name: str, texts: Sequence[str]) -> Texts:
        backend = self._backend = self._backend or open_component(self._folder)
        vectors: list[NDArray[np.float32]] = []
        tokens: list[NDArray[np.int8]] = []
        for number, text in enumerate(texts):
            if number % 500 == 0:
                _progress(f"encoding {name}: {number} of {len(texts)}")
            ids = fit(backend.tokenize([text])[0], backend.specials, backend.max_tokens).ids
            one = backend.encode([ids], tokens=True)
            vectors.append(one.vectors)
            tokens.extend(one.tokens or ())
        counts = np.array([len(rows) for rows in tokens], dtype=np.int64)
        return Texts(np.concatenate(vectors), np.concatenate(tokens), counts)


@dataclass(frozen=True, slots=True)
class Searcher:
    """One collection in memory, searched like a retriever worker searches it."""

    edition: Edition
    """Its passages, as the component searches them."""
    numbers: dict[str, int]
    """Id -> slot."""
    stem: Stem
    """Of this thread."""

    @classmethod
    def of(cls, task: Task, encoder: Encoder, plan: Plan) -> "Searcher":
        """Encode the passages of a task and index them."""
        use_one_thread()
        encoded = encoder.encode(f"{task.name}-passages", [_searchable(d) for d in task.documents])
        dimension, token_dimension = encoded.vectors.shape[1], encoded.tokens.shape[1]
        row = CollectionRow(
            1, task.name, "benchmark", encoder.component, dimension, token_dimension
        )
        rows = zip(task.documents, encoded.vectors, encoded.tokens_of(), strict=True)
        stored = [
            StoredPassage(slot, slot + 1, _hit(document), vector, tokens.tobytes())
            for slot, (document, vector, tokens) in enumerate(rows)
        ]
        collection = Collection(row, lambda slots: [stored[slot].hit for slot in slots])
        edition = Edition(collection, _RETRIEVER.name, plan)
        stem = english_stemmer()
        collection.apply([Change.of(each, stem) for each in stored], len(stored))
        given = collection.lexical_input()
        built = LexicalIndex(given.slots, given.documents, given.vocabulary, plan.lexical)
        edition.adopt_lexical(built, given.generation)
        numbers = {document.id: slot for slot, document in enumerate(task.documents)}
        return cls(edition, numbers, stem)

    def pool(self, query: Query, vector: NDArray[np.float32], tokens: NDArray[np.int8]) -> Pool:
        """Return the candidates of one query."""
        request = RetrieveRequest(
            collection=self.edition.collection.row.name,
            namespace=self.edition.collection.row.namespace,
            text=query.text,
            vector=Matrix.of(vector[np.newaxis]),
            tokens=TokenVectors(matrix=Matrix.of(tokens), counts=[len(tokens)]),
            limit=POOL,
        )
        reply = retrieve(self.edition, request, PUBLIC_TENANT, self.stem, _NO_LIMIT).reply
        if reply.signals is None:
            raise AssertionError("a collection with passages found none")
        ids = [hit.id for hit in reply.hits]
        slot = self.numbers[query.relevant]
        visible = self.edition.collection.visible(PUBLIC_TENANT)
        near = self.edition.nearest(vector, POOL, visible, self.edition.plan.dense.nprobe)
        words = terms(query.text, self.stem)
        lexical = self.edition.matches(words, POOL, visible, near.slots[:0])
        return Pool(
            query,
            reply.signals,
            ids.index(query.relevant) if query.relevant in ids else -1,
            _rank(near.slots, slot),
            _rank(lexical.slots, slot),
        )


def pools(task: Task, split: Split, encoder: Encoder, plan: Plan) -> list[Pool]:
    """Return the candidates of every query of one split of a task."""
    queries = task.train if split == "train" else task.test
    searcher = Searcher.of(task, encoder, plan)
    encoded = encoder.encode(f"{task.name}-{split}", [query.text for query in queries])
    _progress(f"retrieving {task.name} {split}: {len(queries)} queries")
    rows = zip(queries, encoded.vectors, encoded.tokens_of(), strict=True)
    return [searcher.pool(query, vector, tokens) for query, vector, tokens in rows]


def _rank(slots: NDArray[np.int64], slot: int) -> int:
    found = np.flatnonzero(slots == slot)
    return int(found[0]) + 1 if len(found) else 0


def _searchable(document: Document) -> str:
    """Return the text that an ingest encodes."""
    return f"{document.title}\n{document.text}" if document.title else document.text


def _hit(document: Document) -> Hit:
    return Hit(
        id=document.id,
        article=document.article,
        title=document.title,
        text=document.text,
        metadata=document.metadata,
        tenant=document.tenant,
    )


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
