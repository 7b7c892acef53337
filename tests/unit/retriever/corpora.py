"""Small collections made on the spot: unit vectors with cluster structure, texts and owners by seed."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.retriever.collection import Change, Collection
from services.retriever.passage import Passage
from services.retriever.plan import DensePlan, FusionPlan, LexicalPlan, Plan
from services.retriever.store import CollectionRow, Store, StoredPassage
from services.retriever.terms import english_stemmer
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
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def clustered(
    rng: np.random.Generator, rows: int, centres: int, dimension: int = DIMENSION
) -> NDArray[np.float32]:
    vectors = unit(rng, centres, dimension)[rng.integers(0, centres, rows)]
    vectors = vectors + np.float32(0.5) * unit(rng, rows, dimension)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


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
    folder: Path,
    vectors: NDArray[np.float32],
    *,
    texts: Sequence[str] | None = None,
    tenants: Sequence[str] | None = None,
    plan: Plan = PLAN,
    with_tokens: bool = False,
) -> tuple[Store, Collection]:
    """Store passages with these vectors and return their collection, its lexical half up to date."""
    rng = np.random.default_rng(3)
    store = Store(folder / "passages.db")
    row = store.add_collection(
        "docs", NAMESPACE, COMPONENT, vectors.shape[1], TOKEN_DIMENSION if with_tokens else 0
    )
    passages = [
        passage(
            number,
            vector,
            text=texts[number] if texts else "",
            tenant=tenants[number] if tenants else "public",
            tokens=token_rows(rng, 5).tobytes() if with_tokens else b"",
        )
        for number, vector in enumerate(vectors)
    ]
    stored = store.apply([(row, each) for each in passages], len(passages)).get("docs", [])
    collection = make_collection(store, row, stored, plan)
    return store, collection


def make_collection(
    store: Store, row: CollectionRow, stored: Sequence[StoredPassage], plan: Plan = PLAN
) -> Collection:
    stem = english_stemmer()
    collection = Collection(row, plan, lambda slots: store.hits(row, slots))
    collection.apply([Change.of(each, stem) for each in stored], store.sequence)
    refresh_lexical(collection)
    return collection


def refresh_lexical(collection: Collection) -> None:
    from services.retriever.lexical import LexicalIndex

    given = collection.lexical_input()
    built = LexicalIndex(given.slots, given.documents, given.vocabulary, collection.plan.lexical)
    collection.adopt_lexical(built, given.generation)


def train(collection: Collection, nlist: int) -> None:
    from services.retriever.index import extend_ivf, train_ivf

    sample, slots = collection.begin_training(nlist)
    ivf = train_ivf(sample, nlist)
    extend_ivf(ivf, collection.vectors(slots), slots)
    collection.adopt_ivf(ivf)


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
