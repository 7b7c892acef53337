"""A stage that is out of order costs only its part; what the caller did wrong is raised."""

import pytest

from services.gateway.degrade import degraded_query, degraded_rerank, without_vectors
from trimtab.contracts.errors import (
    DeadlineExceeded,
    InvalidMessage,
    InvalidText,
    NoWorkers,
    Overloaded,
    TokenBudgetExceeded,
    TrimtabError,
    UnknownNamespace,
)
from trimtab.contracts.mapping import FallbackReason
from trimtab.contracts.retrieve import DenseOutage, Fallback, RetrieveReply


@pytest.mark.parametrize(
    ("error", "said"),
    [
        pytest.param(NoWorkers("s"), "rerank: no_workers", id="nobody"),
        pytest.param(Overloaded("reranker", 8), "rerank: overloaded", id="busy"),
        pytest.param(DeadlineExceeded("rerank", 0), "rerank: deadline", id="late"),
        pytest.param(InvalidMessage("RerankReply", "x"), "rerank: invalid", id="unreadable"),
    ],
)
def test_a_missing_reranker_is_named_with_its_reason(error: TrimtabError, said: str) -> None:
    assert degraded_rerank(error) == said


@pytest.mark.parametrize(
    "error",
    [InvalidText(0, "is blank"), TokenBudgetExceeded(0, 300, 256), UnknownNamespace("x")],
    ids=["text", "budget", "namespace"],
)
def test_a_callers_mistake_is_never_degraded_away(error: TrimtabError) -> None:
    with pytest.raises(type(error)):
        without_vectors(error)


def test_a_late_encoder_and_a_missing_one_leave_different_reasons() -> None:
    assert without_vectors(DeadlineExceeded("encode", 0)) == FallbackReason.TIMEOUT
    assert without_vectors(NoWorkers("s")) == FallbackReason.MODEL_ERROR


def test_a_retriever_tells_what_it_did_without() -> None:
    whole = RetrieveReply(collection="docs", index="docs@1", hits=[], signals=None)
    lame = RetrieveReply(
        collection="docs",
        index="docs@1",
        hits=[],
        signals=None,
        fallback=Fallback.NOT_LOADED,
        dense=DenseOutage.UNAVAILABLE,
    )

    assert degraded_query(whole) == []
    assert degraded_query(lame) == ["query_model: not_loaded", "dense: unavailable"]
