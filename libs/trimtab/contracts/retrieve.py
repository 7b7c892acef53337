"""Gateway -> retriever: a query to candidates and the signals a reranker needs."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from trimtab.contracts.encode import TokenVectors
from trimtab.contracts.message import Message
from trimtab.contracts.sparse import SparseVectors
from trimtab.contracts.tensor import Matrix

MAX_POOL = 200
"""Most candidates in one reply."""

EVERY_LIST = 65_536
"""As ``nprobe``: more lists than any index has; it visits those that it has, and answers exactly."""

COLLECTION_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"
"""Lower-case name that is a subject token, a folder name and a URL segment; JSON Schema dialect."""

CollectionName = Annotated[str, Meta(pattern=COLLECTION_PATTERN.replace("$", r"\Z"))]
"""The same for Python, whose ``$`` would let a trailing newline through, into subjects and paths."""

PUBLIC_TENANT = "public"
"""Tenant of passages that everybody may see."""

MAX_EXCLUDED = 64
"""Most passages that a search may leave out."""

PassageId = Annotated[str, Meta(min_length=1, max_length=256)]
"""The producer's id of a passage."""

LAST_VEC = "last_vec"
"""The query model that searches with the query's own vector: always there, and what others fall back to."""

QueryModelName = Annotated[str, Meta(min_length=1, max_length=120)]
"""``last_vec``, ``mean``, or the name or reference of a query model: ``amn_v0``, ``amn_v0@1``."""


class Fallback(StrEnum):
    """Why the query's own vector was searched with although a query model was asked for."""

    NOT_LOADED = "not_loaded"
    WINDOW_SHORT = "window_short"
    NAMESPACE = "namespace"
    BAD_OUTPUT = "bad_output"


class DenseOutage(StrEnum):
    """Why a collection whose vectors live in a vector database was searched without all of them."""

    UNAVAILABLE = "unavailable"
    DEADLINE = "deadline"
    REFUSED = "refused"
    BEHIND = "behind"


class SparseUse(StrEnum):
    """What became of the learned sparse vectors in a search whose component looks for candidates by them."""

    USED = "used"
    NO_VECTOR = "no_vector"
    NO_PASSAGES = "no_passages"


class RetrieveRequest(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Gateway -> retriever (``trimtab.v1.retrieve.<component>``); the tenant travels in the header."""

    collection: CollectionName
    """Where to search."""
    namespace: str
    """Space of ``vector``; must be the collection's."""
    text: str
    """The query, for the lexical half."""
    vector: Matrix
    """(1, dimension) float32, unit length."""
    tokens: TokenVectors | None = None
    """Query token vectors; without them no MaxSim signal is computed."""
    limit: Annotated[int, Meta(ge=1, le=MAX_POOL)] = 50
    """Candidates wanted."""
    nprobe: Annotated[int, Meta(ge=1, le=EVERY_LIST)] | None = None
    """IVF lists to visit; None takes the worker's setting."""
    window: Matrix | None = None
    """(n, dimension) float32, unit rows: the context oldest first, the query last; None without context."""
    exclude: Annotated[list[PassageId], Meta(max_length=MAX_EXCLUDED)] = []
    """Passages that must not come out."""
    impl: QueryModelName | None = None
    """Query model to search with; None searches with ``vector``."""
    explain: bool = False
    """Whether the reply shall tell how the index was searched."""
    session: Matrix | None = None
    """(1, dimension) float32, unit length: mean of the caller's previous queries; None without any."""
    sparse: SparseVectors | None = None
    """The query's learned sparse vector; None without."""


class Hit(Message, frozen=True, kw_only=True):
    """One candidate passage."""

    id: str
    """The caller's id of the passage."""
    article: str
    """What it belongs to: a module, a document."""
    title: str
    """Heading to show."""
    text: str
    """The passage."""
    metadata: dict[str, str]
    """What the producer stored with it."""
    tenant: str
    """Owner; the asking tenant or ``public``, never another."""


class Signals(Message, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a query's n candidates, in retrieval order; reranker features come from it."""

    fused: Matrix
    """(1, n) f32: the fused retrieval score that set the order."""
    cosine: Matrix
    """(1, n) f32: query-passage cosine, -1..1."""
    bm25: Matrix
    """(1, n) f32: BM25 score, >= 0; 0 where no query term occurs."""
    maxsim: Matrix | None
    """(1, n) f32: mean over query tokens of the best cosine with a passage token; None without tokens."""
    gram: Matrix
    """(n, n) f16: passage-passage cosine."""
    articles: list[int]
    """Article number of each candidate: equal numbers are one article."""
    session: Matrix | None = None
    """(1, n) f32: cosine to the mean of the caller's previous queries; None without any."""
    sparse: Matrix | None = None
    """(1, n) f32: inner product of the learned sparse vectors, >= 0; None where they were not used."""


class IndexUse(Message, frozen=True, kw_only=True):
    """How one request was searched; told to requests that ask for it."""

    kind: Annotated[str, Meta(min_length=1, max_length=64)]
    """Kind of dense index that the component has of the collection: ``flat`` answers exactly, ``ivf``, ..."""
    lists: Annotated[int, Meta(ge=0)]
    """Lists of that index; 0 when it has none."""
    nprobe: Annotated[int, Meta(ge=1)]
    """Lists to visit, by request or component."""
    visited: Annotated[int, Meta(ge=0)]
    """Lists visited: more than ``nprobe`` where those held too few visible passages; 0 where none was."""
    exact: bool
    """Whether every visible passage was compared instead: there is no other index, they are few, or it was asked for."""
    took_ms: dict[str, float]
    """Milliseconds in the retriever by part: model, dense, lexical, passages, signals."""


class RetrieveReply(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Retriever -> gateway."""

    collection: CollectionName
    """Echo of the request's."""
    index: str
    """Version of the index that answered: ``collection@sequence``."""
    hits: list[Hit]
    """Candidates, best first; fewer than asked when the collection is small."""
    signals: Signals | None
    """One entry per hit; None without hits."""
    impl: QueryModelName = LAST_VEC
    """Query model whose vector was searched with, as ``name`` or ``name@version``."""
    fallback: Fallback | None = None
    """Why that is not the one that was asked for; None when it is."""
    search: IndexUse | None = None
    """How the index was searched; None when nobody asked."""
    dense: DenseOutage | None = None
    """Why only words were searched, or with ``behind`` not all vectors; None when all of them were."""
    sparse: SparseUse | None = None
    """Whether learned sparse vectors were searched; None when the component does not look for them."""


class ScoreRequest(Message, frozen=True, kw_only=True):
    """Gateway -> retriever (``trimtab.v1.score.<component>``): signals for texts that are in no collection."""

    text: str
    """The query."""
    vector: Matrix
    """(1, dimension) f32, unit length."""
    tokens: TokenVectors | None = None
    """Query token vectors."""
    documents: Annotated[list[str], Meta(min_length=1, max_length=MAX_POOL)]
    """The texts to score, 1 to 200."""
    document_vectors: Matrix
    """(documents, dimension) f32, unit rows."""
    document_tokens: TokenVectors | None = None
    """Token vectors of the documents."""


class ScoreReply(Message, frozen=True, kw_only=True):
    """Retriever -> gateway: signals in the order of the documents sent."""

    signals: Signals
    """One entry per document; ``fused`` is the blend that the retriever ranks by."""
