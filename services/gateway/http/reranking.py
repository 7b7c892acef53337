"""``/v1/rerank``: loose texts, scored by the retriever's signals and ordered by the reranker."""

import asyncio

import numpy as np

from services.gateway.degrade import degraded_rerank
from services.gateway.http.bodies import RerankAnswer, RerankBody, RerankResult, RerankText
from services.gateway.stages import Stages
from trimtab.contracts.encode import EncodeReply, EncodeRequest, TokenVectors
from trimtab.contracts.errors import TrimtabError
from trimtab.contracts.rerank import RerankRequest
from trimtab.contracts.retrieve import ScoreRequest, Signals
from trimtab.contracts.tensor import Matrix

_TEXTS_PER_CALL = 8
"""Token vectors of eight full-length texts fit one message."""

_TOKENS_FIT_TEXTS = 24
"""Above this the token vectors of all documents would not fit the score request."""


async def rerank(body: RerankBody, stages: Stages) -> RerankAnswer:
    """Return the documents best first; without a reranker the fused order, marked degraded."""
    texts = [doc if isinstance(doc, str) else doc.text for doc in body.documents]
    with_tokens = len(texts) <= _TOKENS_FIT_TEXTS
    query, *parts = await asyncio.gather(
        _encode(stages, [body.query], tokens=with_tokens),
        *(
            _encode(stages, texts[start : start + _TEXTS_PER_CALL], tokens=with_tokens)
            for start in range(0, len(texts), _TEXTS_PER_CALL)
        ),
    )
    scored = await stages.score(
        ScoreRequest(
            text=body.query,
            vector=query.vectors,
            tokens=query.tokens,
            documents=texts,
            document_vectors=Matrix.of(np.concatenate([part.vectors.array() for part in parts])),
            document_tokens=_join(parts) if with_tokens else None,
        )
    )
    component = body.model or stages.release.rerank
    order, scores, degraded = await _order(stages, scored.signals, component)
    results = [
        RerankResult(
            index=index,
            relevance_score=scores[index],
            document=RerankText(text=texts[index]) if body.return_documents else None,
        )
        for index in order[: body.top_n]
    ]
    model = stages.release.retrieve if degraded or component is None else component
    return RerankAnswer(
        id=stages.context.request_id, model=model, results=results, degraded=degraded
    )


async def _encode(stages: Stages, texts: list[str], *, tokens: bool) -> EncodeReply:
    namespace = stages.release.namespace
    return await stages.encode(EncodeRequest(namespace=namespace, texts=texts, tokens=tokens))


def _join(parts: list[EncodeReply]) -> TokenVectors | None:
    tokens = [part.tokens for part in parts if part.tokens is not None]
    if len(tokens) != len(parts):
        return None
    return TokenVectors(
        matrix=Matrix.of(np.concatenate([part.matrix.array() for part in tokens])),
        counts=[count for part in tokens for count in part.counts],
    )


async def _order(
    stages: Stages, signals: Signals, component: str | None
) -> tuple[list[int], list[float], list[str]]:
    fused: list[float] = signals.fused.array()[0].tolist()
    by_retrieval = sorted(range(len(fused)), key=lambda index: -fused[index])
    if component is None:
        return by_retrieval, fused, []
    try:
        reply = await stages.rerank(RerankRequest(signals=signals), component)
    except TrimtabError as error:
        return by_retrieval, fused, [degraded_rerank(error)]
    return reply.order, reply.scores, []
