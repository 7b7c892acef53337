"""Which failures of a stage leave an answer without it, and which are the answer. Pure.

A reranker that is missing, busy, late or broken costs only the order; an encoder that is leaves the
mapper its rules. What the caller did wrong is never degraded away: it is raised.
"""

from trimtab.contracts.errors import ErrorCode, TrimtabError
from trimtab.contracts.mapping import FallbackReason
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


def degraded_rerank(error: TrimtabError) -> str:
    """Return ``rerank: <code>`` for the reply, or raise what cannot be degraded."""
    return f"rerank: {_reason('rerank', error)}"


def without_vectors(error: TrimtabError) -> FallbackReason:
    """Return why the rules must decide, or raise what cannot be degraded."""
    reason = _reason("encode", error)
    return FallbackReason.TIMEOUT if reason == ErrorCode.DEADLINE else FallbackReason.MODEL_ERROR


def _reason(stage: str, error: TrimtabError) -> ErrorCode:
    if error.code not in _DEGRADES:
        raise error
    GATEWAY_DEGRADED.labels(stage, error.code).inc()
    return error.code
