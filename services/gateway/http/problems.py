"""Errors as RFC 9457 problem details: the one place where an error becomes an HTTP answer."""

import math
from http import HTTPStatus

import msgspec
from starlette.responses import Response

from services.gateway.http.bodies import Problem
from trimtab.contracts.errors import (
    STATUS,
    ErrorCode,
    ErrorReply,
    InternalError,
    RateLimited,
    TrimtabError,
    Unauthenticated,
)

MEDIA_TYPE = "application/problem+json"

_RETRY_AFTER_S = 1
"""What a shed caller is told to wait."""


def problem(error: TrimtabError, request_id: str) -> Response:
    """Return the problem of a typed error."""
    wait_s = error.retry_after_s if isinstance(error, RateLimited) else _RETRY_AFTER_S
    response = _answer(error.reply(), error.status, request_id, wait_s)
    if isinstance(error, Unauthenticated):
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def crash(request_id: str) -> Response:
    """Return the problem of an unforeseen fault; it says nothing of the fault."""
    return problem(InternalError(), request_id)


def refused(status: int, detail: str, request_id: str) -> Response:
    """Return the problem of a request that HTTP itself refuses: no such path, wrong method, too large."""
    code = {404: ErrorCode.NOT_FOUND, 413: ErrorCode.TOO_LARGE}.get(status, ErrorCode.INVALID)
    reply = ErrorReply(
        code=code, error=HTTPStatus(status).phrase.replace(" ", ""), detail=detail, retryable=False
    )
    return _answer(reply, status, request_id)


def _answer(
    reply: ErrorReply, status: int, request_id: str, retry_after_s: float = _RETRY_AFTER_S
) -> Response:
    body = Problem(
        type=f"urn:trimtab:error:{reply.code}",
        title=reply.error,
        status=status,
        detail=reply.detail,
        code=reply.code,
        retryable=reply.retryable,
        request_id=request_id,
    )
    headers = {"X-Request-ID": request_id}
    if reply.retryable:
        headers["Retry-After"] = str(math.ceil(retry_after_s))
    return Response(msgspec.json.encode(body), status, headers, MEDIA_TYPE)


STATUSES = sorted({*STATUS.values(), 405, 411, 415})
"""Every status a problem can have, for the OpenAPI document."""
