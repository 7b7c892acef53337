"""Small collections made on the spot: unit vectors with cluster structure, texts and owners by seed."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.retriever.dense.ivf import train_ivf
from services.retriever.edition import Edition
from services.retriever.passages.collection import Change, Collection
from services.retriever.passages.passage import Passage
from services.retriever.passages.store import CollectionRow, StoredPassage
from services.retriever.plan import DensePlan, FusionPlan, LexicalPlan, Plan
from services.retriever.words.lexical import LexicalIndex
from services.retriever.words.terms import english_stemmer
from trimtab.contracts.encode import TokenVectors
from trimtab.contracts.headers import RequestContext
from trimtab.contracts.retrieve import Hit, RetrieveRequest
from trimtab.contracts.tensor import Matrix

NAMESPACE = "single_vector.test.16.v1"
COMPONENT = "test-encoder@1"
DIMENSION = 16
TOKEN_DIMENSION = 8

PLAN = Plan(
    dense=DensePlan(flat_below=10_000, nlist_per_sqrt=1.0, nprobe=8),
    lexical=LexicalPlan(k1=1.5, b=0.75),
    fusion=FusionPlan(method="blend", lexical_weight=0.4, rrf_k=10.0, depth=50),
    low_cosine=0.2,
)


def unit(rng: np.random.Generator, rows: int, dimension: int = DIMENSION) -> NDArray[np.float32]:
    vectors = rng.standard_normal((rows, dimension)).astype(np.float32)
    unit_rows: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit_rows


def clustered(
    rng: np.random.Generator, rows: int, centres: int, dimension: int = DIMENSION
) -> NDArray[np.float32]:
    vectors = unit(rng, centres, dimension)[rng.integers(0, centres, rows)]
    vectors = vectors + np.float32(0.5) * unit(rng, rows, dimension)
    unit_rows: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit_rows.astype(np.float32)


def token_rows(rng: np.random.Generator, rows: int) -> NDArray[np.int8]:
    return np.rint(unit(rng, rows, TOKEN_DIMENSION) * 127).astype(np.int8)


def passage(
    number: int,
    vector: NDArray[np.float32],
    *,
    text: str = "",
    tenant: str = "public",
    sequence: int | None = None,
    collection: str = "docs",
    content_hash: str = "",
    tokens: bytes = b"",
) -> Passage:
    return Passage(
        sequence=number + 1 if sequence is None else sequence,
        collection=collection,
        namespace=NAMESPACE,
        component=COMPONENT,
        content_hash=content_hash or f"hash-{number}-{text}",
        hit=Hit(
            id=f"p{number}",
            article=f"a{number // 4}",
            title=f"Title {number}",
            text=text or f"text of passage number{number}",
            metadata={},
            tenant=tenant,
        ),
        vector=vector,
        tokens=tokens,
        token_dimension=TOKEN_DIMENSION if tokens else 0,
    )


def build(
    vectors: NDArray[np.float32],
    *,
    texts: Sequence[str] | None = None,
    tenants: Sequence[str] | None = None,
    plan: Plan = PLAN,
    with_tokens: bool = False,
) -> tuple[Edition, list[StoredPassage]]:
    """Return an edition of passages with these vectors, up to date, and the passages by slot."""
    rng = np.random.default_rng(3)
    token_dimension = TOKEN_DIMENSION if with_tokens else 0
    row = CollectionRow(1, "docs", NAMESPACE, COMPONENT, vectors.shape[1], token_dimension)
    stored = [
        StoredPassage(
            number,
            number + 1,
            passage(
                number,
                vector,
                text=texts[number] if texts else "",
                tenant=tenants[number] if tenants else "public",
            ).hit,
            vector,
            token_rows(rng, 5).tobytes() if with_tokens else b"",
        )
        for number, vector in enumerate(vectors)
    ]
    collection = Collection(row, lambda slots: [stored[slot].hit for slot in slots])
    edition = attached(collection, plan)
    take_in(collection, stored)
    refresh_lexical(edition)
    return edition, stored


def attached(collection: Collection, plan: Plan, component: str = "hybrid@1") -> Edition:
    edition = Edition(collection, component, plan)
    collection.attach(edition)
    return edition


def take_in(collection: Collection, stored: Sequence[StoredPassage]) -> None:
    stem = english_stemmer()
    sequence = max((each.sequence for each in stored), default=0)
    collection.apply([Change.of(each, stem) for each in stored], sequence)


def refresh_lexical(edition: Edition) -> None:
    given = edition.collection.lexical_input()
    built = LexicalIndex(given.slots, given.documents, given.vocabulary, edition.plan.lexical)
    edition.adopt_lexical(built, given.generation)


def train(edition: Edition, nlist: int) -> None:
    edition.begin_index()
    slots = edition.collection.slots
    lists = train_ivf(edition.sample(128 * nlist), nlist)
    lists.extend(edition.collection.vectors(slots), slots)
    edition.adopt_index(lists)


def request(
    vector: NDArray[np.float32],
    *,
    text: str = "",
    limit: int = 10,
    namespace: str = NAMESPACE,
    tokens: NDArray[np.int8] | None = None,
    nprobe: int | None = None,
) -> RetrieveRequest:
    return RetrieveRequest(
        collection="docs",
        namespace=namespace,
        text=text,
        vector=Matrix.of(vector.reshape(1, -1)),
        tokens=None
        if tokens is None
        else TokenVectors(matrix=Matrix.of(tokens), counts=[len(tokens)]),
        limit=limit,
        nprobe=nprobe,
    )


def context(tenant: str = "public") -> RequestContext:
    return RequestContext(request_id="r1", tenant=tenant, deadline_ms=2**60)
