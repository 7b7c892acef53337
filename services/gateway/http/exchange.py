"""One HTTP exchange: who asks, by when, the body parsed, the answer or a problem, one log line."""

import re
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.http.guard import TENANT, Guard, Visit
from services.gateway.http.problems import crash, problem
from services.gateway.http.replays import KEY, Named, Replays
from services.gateway.http.terms import MAX_BODY_BYTES, Terms
from trimtab.bus.admission import Admission
from trimtab.contracts.errors import ErrorCode, InvalidMessage, MessageTooLarge, TrimtabError
from trimtab.contracts.headers import TRACEPARENT, RequestContext, now_ms
from trimtab.contracts.retrieve import PUBLIC_TENANT
from trimtab.telemetry.logs import Logger
from trimtab.worker.sampler import Sampler

REQUEST_ID = "X-Request-ID"
TIMEOUT = "X-Timeout-Ms"
UNIT = "X-Unit-Key"
NAME_PATTERN = r"^[A-Za-z0-9._-]{1,64}$"
"""Form of request ids and tenants: they travel in NATS headers."""

MAX_TIMEOUT_MS = 120_000

_NAME = re.compile(NAME_PATTERN)
_TRACEPARENT = re.compile(r"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")
B = TypeVar("B")

Handler = Callable[[B, RequestContext], Awaitable[msgspec.Struct]]
Source = Callable[[type[B], Request], Awaitable[B]]


_USUAL = Terms()


@dataclass
class Exchange:
    """What all routes of the facade share."""

    admission: Admission
    """Bound of the HTTP requests in flight."""
    sampler: Sampler
    """Learns every outcome."""
    log: Logger
    """One line per request."""
    guard: Guard
    """Lets requests in, or not."""
    replays: Replays
    """Answers of requests that named themselves."""

    async def answer(
        self,
        request: Request,
        endpoint: str,
        kind: type[B],
        budget_ms: int | Callable[[str], int],
        handler: Handler[B],
        *,
        source: "Source[B] | None" = None,
        weigh: Callable[[B], int] = lambda _body: 1,
        terms: Terms = _USUAL,
    ) -> Response:
        """Let in, admit, parse, handle and answer one request; every failure becomes a problem.

        ``budget_ms`` may depend on the tenant; ``source`` says where ``kind`` is read from, None reads the
        body; ``weigh`` says how many requests of the caller's minute a body is.
        """
        began = time.perf_counter()
        request_id = request_id_of(request)
        outcome, visit = "ok", Visit()
        try:
            self.guard.enter(request, endpoint, visit)
            self.admission.enter()
            try:
                raw = b"" if source else await read(request, terms)
                body = await source(kind, request) if source else parse(kind, raw)
                self.guard.charge(visit, weigh(body) - 1)
                context = context_of(request, request_id, visit.tenant, budget_ms)
                if terms.asks is not None:
                    self.guard.allow(visit, terms.asks(body))

                async def make() -> Response:
                    reply = await handler(body, context)
                    if terms.shows is not None:
                        self.guard.allow(visit, terms.shows(reply))
                    return json_response(reply, request_id, terms.status(reply))

                response = await self._once(request, endpoint, raw, context, make, terms)
            finally:
                self.admission.leave()
        except TrimtabError as error:
            outcome = error.code.value
            response = problem(error, request_id)
        except Exception as error:
            outcome = ErrorCode.INTERNAL.value
            self.log.exception(
                "http_crashed",
                endpoint=endpoint,
                error=type(error).__name__,
                request_id=request_id,
            )
            response = crash(request_id)
        response.headers.update(visit.headers)
        took_ms = (time.perf_counter() - began) * 1000
        self.sampler.observe(f"http_{endpoint}", "", "", outcome, took_ms)
        self.log.info(
            "http",
            endpoint=endpoint,
            outcome=outcome,
            status=response.status_code,
            took_ms=round(took_ms, 3),
            request_id=request_id,
            key_id=visit.caller,
        )
        return response

    async def _once(
        self,
        request: Request,
        endpoint: str,
        raw: bytes,
        context: RequestContext,
        make: Callable[[], Awaitable[Response]],
        terms: Terms,
    ) -> Response:
        """Make the answer, unless the request names itself and has been answered already."""
        key = request.headers.get(KEY)
        if key is None or not terms.keyed:
            return await make()
        remaining_s = max(0.0, context.remaining_ms() / 1000)
        named = Named(key, (context.tenant, endpoint), raw, remaining_s)
        response = await self.replays.once(named, make)
        response.headers[REQUEST_ID] = context.request_id
        return response


def json_response(reply: msgspec.Struct, request_id: str, status: int = 200) -> Response:
    """Return a contract as JSON with its request id."""
    headers = {REQUEST_ID: request_id}
    return Response(msgspec.json.encode(reply), status, headers, "application/json")


def request_id_of(request: Request) -> str:
    """Return the caller's request id when it is well-formed, else a new one."""
    given = request.headers.get(REQUEST_ID, "")
    return given if _NAME.fullmatch(given) else uuid.uuid4().hex


def context_of(
    request: Request, request_id: str, tenant: str, budget_ms: int | Callable[[str], int]
) -> RequestContext:
    """Read the deadline from the headers, and the tenant unless the caller's key has said it.

    Raises:
        InvalidMessage: one of them is not of its form.
    """
    tenant = tenant or request.headers.get(TENANT, PUBLIC_TENANT)
    if not _NAME.fullmatch(tenant):
        raise InvalidMessage("request", f"{TENANT} must match {NAME_PATTERN}")
    own_ms = budget_ms(tenant) if callable(budget_ms) else budget_ms
    timeout = request.headers.get(TIMEOUT, str(own_ms))
    if not timeout.isascii() or not timeout.isdigit() or not 0 < int(timeout) <= MAX_TIMEOUT_MS:
        raise InvalidMessage("request", f"{TIMEOUT} must be an integer, 1 to {MAX_TIMEOUT_MS}")
    unit = request.headers.get(UNIT, "")
    if unit and not _NAME.fullmatch(unit):
        raise InvalidMessage("request", f"{UNIT} must match {NAME_PATTERN}")
    return RequestContext(
        request_id,
        tenant,
        now_ms() + int(timeout),
        traceparent=_traceparent(request),
        unit=unit,
    )


def _traceparent(request: Request) -> str:
    """Return the caller's trace context; one that is malformed is no reason to refuse the request."""
    given = request.headers.get(TRACEPARENT, "")
    return given if _TRACEPARENT.fullmatch(given) else ""


async def in_path(kind: type[B], request: Request) -> B:
    """Parse the parameters of the path.

    Raises:
        InvalidMessage: one does not fit; says which.
    """
    try:
        return msgspec.convert(request.path_params, kind)
    except msgspec.ValidationError as error:
        raise InvalidMessage(kind.__name__, str(error)) from None


async def read(request: Request, terms: Terms = _USUAL) -> bytes:
    """Return the body, refusing one over the route's limit before holding it all.

    Raises:
        MessageTooLarge: it is larger.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > terms.max_bytes:
            raise (terms.oversize or _too_large)(len(body))
    return bytes(body)


def _too_large(size: int) -> TrimtabError:
    return MessageTooLarge(size, MAX_BODY_BYTES)


def parse(kind: type[B], data: bytes) -> B:
    """Parse a JSON body.

    Raises:
        InvalidMessage: it is not JSON, or does not fit; says which field.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        return _with_whole_floats(kind, data, error)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidMessage(kind.__name__, str(error)) from None


def _with_whole_floats(kind: type[B], data: bytes, refused: msgspec.ValidationError) -> B:
    """Try once more with ``10.0`` read as ``10``: JSON Schema calls both an integer, msgspec does not."""
    try:
        return msgspec.convert(_JSON.decode(data), type=kind)
    except (msgspec.DecodeError, RecursionError):
        raise InvalidMessage(kind.__name__, str(refused)) from None


def _number(literal: str) -> float:
    number = float(literal)
    return int(number) if number.is_integer() else number


_JSON = msgspec.json.Decoder(float_hook=_number)
