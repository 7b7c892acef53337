"""Candidates of labelled queries, made by the encoder's and the retriever's own code as they serve.

Encoded texts are cached; retrieval is done anew each time, so it is always the retriever of this checkout.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.rerank_data import Query, Split, Task, asked_of
from benchmarks.rerank_sessions import earlier, foreign, mean
from benchmarks.rerank_texts import Encoder, progress
from benchmarks.sparse_texts import SparseTexts
from services.retriever.dense.flat import use_one_thread
from services.retriever.edition import Edition
from services.retriever.passages.collection import Change, Collection
from services.retriever.passages.passage import packed
from services.retriever.passages.store import CollectionRow, StoredPassage
from services.retriever.plan import Plan, load_plan
from services.retriever.search import retrieve
from services.retriever.words.lexical import LexicalIndex
from services.retriever.words.terms import Stem, english_stemmer, terms
from trimtab.contracts.documents import Document
from trimtab.contracts.encode import TokenVectors
from trimtab.contracts.retrieve import PUBLIC_TENANT, Hit, RetrieveRequest, Signals
from trimtab.contracts.sparse import SparseRow, SparseVectors
from trimtab.contracts.tensor import Matrix

POOL = 50
"""Candidates per query."""

_NO_LIMIT = 1 << 30
_NO_SLOTS = np.empty(0, dtype=np.int64)
_RETRIEVER = Path(__file__).parents[1] / "services" / "retriever" / "components" / "hybrid@1"


@dataclass(frozen=True, slots=True)
class Pool:
    """What the retriever found for one query."""

    query: Query
    """The question."""
    signals: Signals
    """Of its candidates, in retrieval order."""
    ids: list[str]
    """Of its candidates, in the same order."""
    nearest: list[str]
    """Ids of the 50 nearest vectors, best first."""
    lexical: list[str]
    """Ids of the 50 best by BM25."""
    foreign: Matrix | None
    """(1, n) f32: in place of the signals' ``session``, the cosine to a session about something else."""
    sparse: list[str] = field(default_factory=list)
    """Ids of the 50 best by learned sparse vectors; none where there is no model of them."""
    three: list[str] = field(default_factory=list)
    """Ids of the candidates of all three lists, fused; the same."""

    @property
    def relevant(self) -> int:
        """Position of the right answer among the candidates; -1 when it is not there."""
        return _rank(self.ids, self.query.relevant) - 1

    @property
    def dense_rank(self) -> int:
        """Rank of the right answer among the nearest vectors, from 1; 0 when it is not there."""
        return _rank(self.nearest, self.query.relevant)

    @property
    def lexical_rank(self) -> int:
        """The same among the best by BM25."""
        return _rank(self.lexical, self.query.relevant)


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


@dataclass(frozen=True, slots=True)
class Searcher:
    """One collection in memory, searched like a retriever worker searches it."""

    edition: Edition
    """Its passages, as the component searches them."""
    ids: list[str]
    """By slot."""
    numbers: dict[str, int]
    """Id -> slot."""
    stem: Stem
    """Of this thread."""
    three: Edition
    """The same passages searched by learned sparse vectors too."""

    @classmethod
    def of(
        cls, task: Task, encoder: Encoder, plan: Plan, sparse: SparseTexts | None = None
    ) -> "Searcher":
        """Encode the passages of a task and index them; with ``sparse`` also by their sparse vectors."""
        use_one_thread()
        encoded = encoder.passages(task)
        dimension, token_dimension = encoded.vectors.shape[1], encoded.tokens.shape[1]
        row = CollectionRow(
            1,
            task.name,
            "benchmark",
            encoder.component,
            dimension,
            token_dimension,
            None if sparse is None else sparse.space,
        )
        meant = [b""] * len(task.documents)
        if sparse is not None:
            meant = [packed(each) for each in sparse.passages(task)]
        rows = zip(task.documents, encoded.vectors, encoded.tokens_of(), meant, strict=True)
        stored = [
            StoredPassage(slot, slot + 1, _hit(document), vector, tokens.tobytes(), terms)
            for slot, (document, vector, tokens, terms) in enumerate(rows)
        ]
        collection = Collection(row, lambda slots: [stored[slot].hit for slot in slots])
        edition = Edition(collection, _RETRIEVER.name, plan)
        stem = english_stemmer()
        collection.apply([Change.of(each, stem) for each in stored], len(stored))
        given = collection.lexical_input()
        built = LexicalIndex(given.slots, given.documents, given.vocabulary, plan.lexical)
        edition.adopt_lexical(built, given.generation)
        three = Edition(
            collection, "three", msgspec.structs.replace(plan, legs=("dense", "words", "sparse"))
        )
        three.adopt_lexical(built, given.generation)
        ids = [document.id for document in task.documents]
        return cls(edition, ids, {each: slot for slot, each in enumerate(ids)}, stem, three)

    def pool(self, query: Query, asked: "Asked") -> Pool:
        """Return the candidates of one query."""
        row = self.edition.collection.row
        request = RetrieveRequest(
            collection=row.name,
            namespace=row.namespace,
            text=query.text,
            vector=Matrix.of(asked.vector[np.newaxis]),
            tokens=TokenVectors(matrix=Matrix.of(asked.tokens), counts=[len(asked.tokens)]),
            limit=POOL,
            session=None if asked.session is None else Matrix.of(asked.session[np.newaxis]),
        )
        reply = retrieve(self.edition, request, PUBLIC_TENANT, self.stem, _NO_LIMIT).reply
        if reply.signals is None:
            raise AssertionError("a collection with passages found none")
        ids = [hit.id for hit in reply.hits]
        visible = self.edition.collection.visible(PUBLIC_TENANT)
        near = self.edition.nearest(asked.vector, POOL, visible, self.edition.plan.dense.nprobe)
        words = terms(query.text, self.stem)
        lexical = self.edition.matches(words, POOL, visible, near.slots[:0])
        return Pool(
            query,
            reply.signals,
            ids,
            self._ids(near.slots),
            self._ids(lexical.slots),
            self._cosines(ids, asked.foreign),
        )

    def with_sparse(self, pool: Pool, asked: "Asked", query: SparseRow) -> Pool:
        """Return the pool with what a query's learned sparse vector finds, alone and with the others."""
        collection = self.edition.collection
        request = RetrieveRequest(
            collection=collection.row.name,
            namespace=collection.row.namespace,
            text=pool.query.text,
            vector=Matrix.of(asked.vector[np.newaxis]),
            limit=POOL,
            sparse=None
            if collection.row.sparse is None
            else SparseVectors.of(collection.row.sparse, [query], "f32"),
        )
        reply = retrieve(self.three, request, PUBLIC_TENANT, self.stem, _NO_LIMIT).reply
        visible = collection.visible(PUBLIC_TENANT)
        alone = collection.sparse.search(query, POOL, visible, _NO_SLOTS)
        return replace(pool, sparse=self._ids(alone.slots), three=[hit.id for hit in reply.hits])

    def _ids(self, slots: NDArray[np.int64]) -> list[str]:
        return [self.ids[slot] for slot in slots.tolist()]

    def _cosines(self, ids: Sequence[str], vector: NDArray[np.float32] | None) -> Matrix | None:
        if vector is None:
            return None
        slots = np.array([self.numbers[each] for each in ids], dtype=np.int64)
        return Matrix.of((self.edition.collection.vectors(slots) @ vector)[np.newaxis])


@dataclass(frozen=True, slots=True)
class Asked:
    """A query's vectors, and those of what was asked before."""

    vector: NDArray[np.float32]
    """(dimension,), unit length."""
    tokens: NDArray[np.int8]
    """(tokens, 128)."""
    session: NDArray[np.float32] | None
    """(dimension,), unit length; None for the first query of its article or actor."""
    foreign: NDArray[np.float32] | None
    """The same of a session about something else."""


def asked(task: Task, split: Split, encoder: Encoder) -> list[Asked]:
    """Encode the queries of a split, and give each its two sessions."""
    encoded = encoder.queries(task, split)
    own = earlier(task, split)
    others = foreign(asked_of(task, split), own)
    rows = zip(encoded.vectors, encoded.tokens_of(), own, others, strict=True)
    return [
        Asked(vector, tokens, mean(encoded.vectors, before), mean(encoded.vectors, other))
        for vector, tokens, before, other in rows
    ]


def pools(
    task: Task, split: Split, encoder: Encoder, plan: Plan, sparse: SparseTexts | None = None
) -> list[Pool]:
    """Return the candidates of every query of one split of a task."""
    queries = asked_of(task, split)
    searcher = Searcher.of(task, encoder, plan, sparse)
    progress(f"retrieving {task.name} {split}: {len(queries)} queries")
    vectors = asked(task, split, encoder)
    found = [searcher.pool(query, each) for query, each in zip(queries, vectors, strict=True)]
    if sparse is None:
        return found
    rows = zip(found, vectors, sparse.queries(task, split), strict=True)
    return [searcher.with_sparse(*row) for row in rows]


def _rank(ids: Sequence[str], wanted: str) -> int:
    return ids.index(wanted) + 1 if wanted in ids else 0


def _hit(document: Document) -> Hit:
    return Hit(
        id=document.id,
        article=document.article,
        title=document.title,
        text=document.text,
        metadata=document.metadata,
        tenant=document.tenant,
    )
