"""Signals for loose texts that are in no collection: what ``/v1/rerank`` needs. Pure."""

import numpy as np

from services.retriever import query
from services.retriever.fusion import LegScores, fuse
from services.retriever.passages.visibility import VisibleSet
from services.retriever.plan import Plan
from services.retriever.signals import late_interaction, signals
from services.retriever.words.lexical import LexicalIndex
from services.retriever.words.terms import Stem, terms
from services.retriever.words.walk import Scores
from trimtab.contracts.errors import DimensionMismatch, InvalidMessage
from trimtab.contracts.retrieve import ScoreReply, ScoreRequest

_UNIT_TOLERANCE = 1e-3


def score(request: ScoreRequest, plan: Plan, stem: Stem) -> ScoreReply:
    """Return the signals of the documents in the order sent, each its own article.

    BM25 takes its statistics from the documents of the request: there is no other corpus to ask.

    Raises:
        DimensionMismatch: query and document vectors differ in dimension.
        InvalidMessage: vectors are not unit rows, or do not fit the documents.
    """
    count = len(request.documents)
    vectors = _unit_rows(request, count)
    vector = query.unit_vector("query vector", request.vector, vectors.shape[1])
    tokens = query.several_texts("document token vectors", request.document_tokens, count)
    late = None
    if tokens is not None and request.document_tokens is not None:
        asked = query.one_text("query token vectors", request.tokens)
        late = late_interaction(asked, tokens, request.document_tokens.matrix.dim)
    cosine = vectors @ vector
    bm25 = _bm25(request, plan, stem)
    return ScoreReply(
        signals=signals(
            fused=fuse(LegScores(cosine, bm25), plan.fusion),
            cosine=cosine,
            bm25=bm25,
            late=late,
            vectors=vectors,
            articles=[str(number) for number in range(count)],
        )
    )


def _unit_rows(request: ScoreRequest, count: int) -> Scores:
    matrix = request.document_vectors
    if matrix.dim != request.vector.dim:
        raise DimensionMismatch("document vectors", matrix.dim, request.vector.dim)
    if matrix.dtype != "f32" or matrix.rows != count:
        raise InvalidMessage("ScoreRequest", f"document_vectors must be {count} rows of f32")
    rows: Scores = matrix.array()
    norms = np.linalg.norm(rows, axis=1)
    if not np.all(np.abs(norms - 1.0) < _UNIT_TOLERANCE):
        raise InvalidMessage("ScoreRequest", "document_vectors must have unit rows")
    return rows


def _bm25(request: ScoreRequest, plan: Plan, stem: Stem) -> Scores:
    vocabulary: dict[str, int] = {}
    documents = [
        [vocabulary.setdefault(term, len(vocabulary)) for term in terms(text, stem)]
        for text in request.documents
    ]
    slots = np.arange(len(documents), dtype=np.int64)
    everything = VisibleSet(len(documents), True, np.empty(0, dtype=np.uint8))
    index = LexicalIndex(slots, documents, len(vocabulary), plan.lexical)
    asked = [vocabulary[term] for term in terms(request.text, stem) if term in vocabulary]
    return index.search(asked, len(documents), everything, slots).others
