"""Which failures of a stage leave an answer without it, and which are the answer. Pure.

A reranker that is missing, busy, late or broken costs only the order, whatever it says: it is asked with
our signals, not with the caller's words. An encoder that is leaves the mapper its rules, but what the
caller did wrong with a text is never degraded away: it is raised.
"""

from trimtab.contracts.errors import ErrorCode, TrimtabError
from trimtab.contracts.mapping import FallbackReason
from trimtab.contracts.retrieve import RetrieveReply, SparseUse
from trimtab.telemetry.metrics import GATEWAY_DEGRADED

_DEGRADES = frozenset(
    {
        ErrorCode.NO_WORKERS,
        ErrorCode.OVERLOADED,
        ErrorCode.DRAINING,
        ErrorCode.NOT_READY,
        ErrorCode.DISABLED,
        ErrorCode.MODEL_FAILED,
        ErrorCode.DEADLINE,
        ErrorCode.INTERNAL,
    }
)

NO_MODEL = "no_model"


def degraded_rerank(error: TrimtabError) -> str:
    """Return ``rerank: <code>`` for the reply."""
    GATEWAY_DEGRADED.labels("rerank", error.code).inc()
    return f"rerank: {error.code}"


def degraded_query(found: RetrieveReply) -> list[str]:
    """Return what the retriever did without.

    ``query_model: <why>`` when the query's own vector stood in for the model asked for, ``dense: <why>``
    when the vector database was away, so that words alone found the candidates, ``sparse: <why>`` when its
    component looks for learned sparse vectors and there were none.
    """
    sparse = None if found.sparse is SparseUse.USED else found.sparse
    missing = {"query_model": found.fallback, "dense": found.dense, "sparse": sparse}
    lost = [(part, why.value) for part, why in missing.items() if why is not None]
    for part, why in lost:
        GATEWAY_DEGRADED.labels(part, why).inc()
    return [f"{part}: {why}" for part, why in lost]


def degraded_put() -> list[str]:
    """Return that passages were stored without sparse vectors: the encoder has no model that makes them."""
    GATEWAY_DEGRADED.labels("sparse", NO_MODEL).inc()
    return [f"sparse: {NO_MODEL}"]


def without_vectors(error: TrimtabError) -> FallbackReason:
    """Return why the rules must decide, or raise what cannot be degraded."""
    if error.code not in _DEGRADES:
        raise error
    GATEWAY_DEGRADED.labels("encode", error.code).inc()
    late = error.code == ErrorCode.DEADLINE
    return FallbackReason.TIMEOUT if late else FallbackReason.MODEL_ERROR
