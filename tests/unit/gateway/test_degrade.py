"""A stage that is out of order costs only its part; what the caller did wrong is raised."""

import pytest

from services.gateway.degrade import degraded_rerank, without_vectors
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
