"""Every failure that can cross the bus, as one tree split by whose fault it is.

::

    TrimtabError
    ├── CallerError                 the request is wrong; the same request fails again
    │   ├── InvalidMessage          422  bytes or fields do not fit the contract
    │   ├── InvalidText             422  empty, blank or not text
    │   ├── TokenBudgetExceeded     422  more tokens than the namespace allows, policy "reject"
    │   ├── DimensionMismatch       422  a vector is not of the namespace's dimension
    │   ├── NamespaceMismatch       422  a vector is of another space than the one it meets
    │   ├── MessageTooLarge         413  refused by the sender, before NATS closes the connection
    │   ├── UnknownNamespace        404  no such encoder namespace
    │   ├── UnknownCollection       404  no such collection of passages
    │   ├── UnknownDocument         404  no such passage, or it was deleted
    │   ├── UnknownTaxonomy         404  no such taxonomy
    │   ├── UnknownFramework        404  no such framework of controls
    │   ├── UnknownExplanation      404  nobody kept why this request was answered as it was
    │   ├── UnknownJob              404  no job of this id and tenant, or its result has expired
    │   ├── RawContent              422  free text where a detector's label is expected
    │   ├── IdempotencyConflict     409  the key was used with another request
    │   ├── Unauthenticated         401  no API key, or one that opens nothing
    │   ├── OutOfScope              403  the key may not do this
    │   ├── ForeignTenant           403  the key is another tenant's than the request names
    │   └── ForeignReplySubject     403  a reply subject outside ``_INBOX``
    ├── BusyError                   try again, elsewhere or later
    │   ├── Overloaded              429  the worker's bounded in-flight is full
    │   ├── RateLimited             429  the caller's share of a minute is used up
    │   ├── DeadlineExceeded        408  the answer would come too late
    │   ├── RequestInProgress       409  the same request is being answered just now
    │   ├── Draining                503  the worker is stopping
    │   └── NotReady                503  the worker has not loaded what it serves
    ├── DependencyError
    │   ├── NoWorkers               503  nobody serves the subject; known in under a millisecond
    │   ├── BusUnavailable          503  NATS cannot be reached
    │   └── ModelFailed             500  the model or index raised
    ├── OperatorError               a command that cannot be carried out as asked
    │   ├── UnknownRelease          404  no release of this name
    │   ├── UnknownSetting          404  no tunable of this name
    │   ├── SettingOutOfBounds      422  a value outside its bounds
    │   ├── InvalidCommand          422  the command does not fit the present state
    │   ├── RevisionConflict        409  somebody else wrote first
    │   ├── ReleaseExists           409  the same name with other content
    │   ├── ReleaseInUse            409  it serves, is ramped, or is what a rollback returns to
    │   └── InterlockRefused        409  an interlock says no, and why
    ├── Disabled                    503  switched off by an operator
    └── InternalError               500  ours; the caller learns the request id, never the exception

An error travels as a reply with the headers of ADR-32, ``Nats-Service-Error`` and
``Nats-Service-Error-Code``, and an :class:`ErrorReply` as its body.
"""

from enum import StrEnum

import msgspec


class ErrorCode(StrEnum):
    """The closed set of codes; scripts and the gateway's HTTP table rely on it."""

    INVALID = "invalid"
    TOO_LARGE = "too_large"
    NOT_FOUND = "not_found"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    CONFLICT = "conflict"
    OVERLOADED = "overloaded"
    RATE_LIMITED = "rate_limited"
    DEADLINE = "deadline"
    DRAINING = "draining"
    NOT_READY = "not_ready"
    NO_WORKERS = "no_workers"
    UNAVAILABLE = "unavailable"
    DISABLED = "disabled"
    MODEL_FAILED = "model_failed"
    INTERNAL = "internal"


STATUS: dict[ErrorCode, int] = {
    ErrorCode.INVALID: 422,
    ErrorCode.TOO_LARGE: 413,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.UNAUTHENTICATED: 401,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.CONFLICT: 409,
    ErrorCode.OVERLOADED: 429,
    ErrorCode.RATE_LIMITED: 429,
    ErrorCode.DEADLINE: 408,
    ErrorCode.DRAINING: 503,
    ErrorCode.NOT_READY: 503,
    ErrorCode.NO_WORKERS: 503,
    ErrorCode.UNAVAILABLE: 503,
    ErrorCode.DISABLED: 503,
    ErrorCode.MODEL_FAILED: 500,
    ErrorCode.INTERNAL: 500,
}
"""Numeric status of each code: the ``Nats-Service-Error-Code`` header and the HTTP status."""


class ErrorReply(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Any service -> its caller, in place of the reply: what was wrong and whether to try again."""

    code: ErrorCode
    """Which of the closed set."""
    error: str
    """Class name of the error, for example ``DimensionMismatch``."""
    detail: str
    """What was wrong, with what, and what to do. Never a text, never an exception's repr."""
    retryable: bool
    """True when the same request may succeed on another worker or a moment later."""


class TrimtabError(Exception):
    """Root of the tree; ``code`` and ``retryable`` are fixed by the class."""

    code = ErrorCode.INTERNAL
    retryable = False

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail

    @property
    def status(self) -> int:
        """Numeric status, 400-599."""
        return STATUS[self.code]

    def reply(self) -> ErrorReply:
        """Return the wire form of this error."""
        return ErrorReply(
            code=self.code,
            error=type(self).__name__,
            detail=self.detail,
            retryable=self.retryable,
        )


class CallerError(TrimtabError):
    """The request is wrong; sending it again fails again."""

    code = ErrorCode.INVALID


class InvalidMessage(CallerError):
    """Bytes or fields do not fit the contract."""

    def __init__(self, contract: str, problem: str) -> None:
        super().__init__(f"not a valid {contract}: {problem}")
        self.contract = contract
        self.problem = problem


class InvalidText(CallerError):
    """An input is empty, blank or not text."""

    def __init__(self, index: int, problem: str) -> None:
        super().__init__(f"text {index} {problem}; send non-empty UTF-8 text")
        self.index = index
        self.problem = problem


class TokenBudgetExceeded(CallerError):
    """A text has more tokens than its namespace allows and the policy is to reject."""

    def __init__(self, index: int, tokens: int, budget: int) -> None:
        super().__init__(
            f"text {index} has {tokens} tokens, the namespace allows {budget}; "
            'shorten it or ask for overflow="truncate"'
        )
        self.index, self.tokens, self.budget = index, tokens, budget


class DimensionMismatch(CallerError):
    """A vector's dimension is not the one of its namespace or index."""

    def __init__(self, what: str, dimension: int, expected: int) -> None:
        super().__init__(f"{what} has dimension {dimension}, expected {expected}")
        self.what, self.dimension, self.expected = what, dimension, expected


class NamespaceMismatch(CallerError):
    """Vectors of two spaces meet: their cosine would mean nothing, whatever their dimensions."""

    def __init__(self, what: str, namespace: str, expected: str) -> None:
        super().__init__(
            f"{what} is of namespace {namespace!r}, expected {expected!r}; use another collection, "
            "or a release whose encoder makes vectors of that space"
        )
        self.what, self.namespace, self.expected = what, namespace, expected


class Unauthenticated(CallerError):
    """No API key came, or one that opens nothing: unknown, revoked or expired."""

    code = ErrorCode.UNAUTHENTICATED

    def __init__(self) -> None:
        super().__init__(
            "no valid API key; send `Authorization: Bearer tt_...` or `X-API-Key: tt_...` "
            "(an operator makes one with `trimtab keys create`)"
        )


class OutOfScope(CallerError):
    """The API key is valid and may not do this."""

    code = ErrorCode.FORBIDDEN

    def __init__(self, key: str, scope: str) -> None:
        super().__init__(f"key {key} lacks the scope {scope!r}; ask for one that has it")
        self.key, self.scope = key, scope


class ForeignTenant(CallerError):
    """The request names a tenant that is not the API key's."""

    code = ErrorCode.FORBIDDEN

    def __init__(self, tenant: str) -> None:
        super().__init__(
            f"the API key is of tenant {tenant}, the request names another; leave the tenant out"
        )
        self.tenant = tenant


class MessageTooLarge(CallerError):
    """A message would pass the server's max_payload, which closes the connection."""

    code = ErrorCode.TOO_LARGE

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"message of {size} bytes, the limit is {limit}; send fewer or smaller items"
        )
        self.size, self.limit = size, limit


class UnknownNamespace(CallerError):
    """No encoder serves this namespace."""

    code = ErrorCode.NOT_FOUND

    def __init__(self, namespace: str, known: tuple[str, ...] = ()) -> None:
        super().__init__(
            f"unknown namespace {namespace!r}; served here: {', '.join(known) or 'none'}"
        )
        self.namespace, self.known = namespace, known


class UnknownCollection(CallerError):
    """No passages were ever ingested under this name."""

    code = ErrorCode.NOT_FOUND

    def __init__(self, collection: str, known: tuple[str, ...] = ()) -> None:
        super().__init__(
            f"unknown collection {collection!r}; known: {', '.join(known) or 'none'}; "
            "`trimtab ingest FILE --collection NAME` makes one"
        )
        self.collection, self.known = collection, known


class UnknownDocument(CallerError):
    """No passage of this id that the tenant may see; it may have been deleted."""

    code = ErrorCode.NOT_FOUND

    def __init__(self, document: str, collection: str) -> None:
        super().__init__(
            f"no passage {document!r} in collection {collection!r} that this tenant may see; "
            "`trimtab ingest` adds one"
        )
        self.document, self.collection = document, collection


class UnknownTaxonomy(CallerError):
    """The mapper holds no taxonomy of this name."""

    code = ErrorCode.NOT_FOUND

    def __init__(self, taxonomy: str, known: tuple[str, ...] = ()) -> None:
        super().__init__(f"unknown taxonomy {taxonomy!r}; known: {', '.join(known) or 'none'}")
        self.taxonomy, self.known = taxonomy, known


class UnknownFramework(CallerError):
    """The mapper knows no controls of this framework for the taxonomy asked for."""

    code = ErrorCode.NOT_FOUND

    def __init__(self, framework: str, known: tuple[str, ...] = ()) -> None:
        super().__init__(f"unknown framework {framework!r}; known: {', '.join(known) or 'none'}")
        self.framework, self.known = framework, known


class UnknownExplanation(CallerError):
    """No explanation is stored under this request id and tenant."""

    code = ErrorCode.NOT_FOUND

    def __init__(self, request_id: str, tenant: str) -> None:
        super().__init__(
            f"no explanation of request {request_id!r} of tenant {tenant!r} is stored: it was not in the "
            "sample, has expired, or is another tenant's; search with --explain to have one stored"
        )
        self.request_id, self.tenant = request_id, tenant


class UnknownJob(CallerError):
    """No job of this id is known for this tenant."""

    code = ErrorCode.NOT_FOUND

    def __init__(self, job: str) -> None:
        super().__init__(
            f"no job {job!r} of this tenant: it was never submitted, is another tenant's, or its result is older "
            "than a day"
        )
        self.job = job


class RawContent(CallerError):
    """Free text where a detector's label is expected: what a detector read must not come along."""

    def __init__(self, detector: str, rule: str, found: int, limit: int) -> None:
        super().__init__(
            f"the output looks like raw content, not like a label: {rule} ({found}, at most {limit}); send what "
            "the detector said and not what it read, or call the detector `text`"
        )
        self.detector, self.rule, self.found, self.limit = detector, rule, found, limit


class IdempotencyConflict(CallerError):
    """The same idempotency key, or job id, came with another request."""

    code = ErrorCode.CONFLICT

    def __init__(self, what: str, known: str, given: str) -> None:
        super().__init__(
            f"{what} was used with another request (sha256 {known[:12]}, this one {given[:12]}); "
            "use a new one for a new request"
        )
        self.what, self.known, self.given = what, known, given


class ForeignReplySubject(CallerError):
    """A request asked for its reply outside ``_INBOX``: answering would lend our permissions."""

    code = ErrorCode.FORBIDDEN

    def __init__(self) -> None:
        super().__init__("the reply subject must start with _INBOX")


class BusyError(TrimtabError):
    """The worker cannot answer now; another one, or a later try, may."""

    retryable = True


class Overloaded(BusyError):
    """The worker's bounded number of requests in flight is reached."""

    code = ErrorCode.OVERLOADED

    def __init__(self, service: str, limit: int) -> None:
        super().__init__(
            f"{service} already holds {limit} requests; try again, or start another worker"
        )
        self.service, self.limit = service, limit


class RateLimited(BusyError):
    """The caller's requests of a minute are used up."""

    code = ErrorCode.RATE_LIMITED

    def __init__(self, per_minute: int, retry_after_s: float) -> None:
        super().__init__(
            f"more than {per_minute} requests a minute; try again in {retry_after_s:.0f} s"
        )
        self.per_minute, self.retry_after_s = per_minute, retry_after_s


class DeadlineExceeded(BusyError):
    """The answer would come after the request's absolute deadline."""

    code = ErrorCode.DEADLINE
    retryable = False

    def __init__(self, stage: str, remaining_ms: float) -> None:
        super().__init__(
            f"{stage}: {remaining_ms:.0f} ms left before the deadline, not enough to answer"
        )
        self.stage, self.remaining_ms = stage, remaining_ms


class RequestInProgress(BusyError):
    """The same request with the same idempotency key has not been answered yet."""

    code = ErrorCode.CONFLICT

    def __init__(self) -> None:
        super().__init__(
            "a request with this idempotency key is being answered; send it again in a moment for its answer"
        )


class Draining(BusyError):
    """The worker is stopping and takes nothing new."""

    code = ErrorCode.DRAINING

    def __init__(self, service: str) -> None:
        super().__init__(f"{service} is draining; try again, another worker will answer")


class NotReady(BusyError):
    """The worker has not finished loading what it serves."""

    code = ErrorCode.NOT_READY

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is not ready yet; try again shortly")


class DependencyError(TrimtabError):
    """Something the service needs failed."""

    code = ErrorCode.UNAVAILABLE
    retryable = True


class NoWorkers(DependencyError):
    """Nobody subscribes to the subject: no worker has loaded that component version."""

    code = ErrorCode.NO_WORKERS

    def __init__(self, subject: str) -> None:
        super().__init__(f"no worker serves {subject}; start one, or check `trimtab status`")
        self.subject = subject


class BusUnavailable(DependencyError):
    """NATS cannot be reached."""

    def __init__(
        self, detail: str = "NATS cannot be reached; is it running? try `trimtab doctor`"
    ) -> None:
        super().__init__(detail)


class ModelFailed(DependencyError):
    """The model, index or engine raised; the log of the worker holds the traceback."""

    code = ErrorCode.MODEL_FAILED

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} failed; the worker's log has the cause under this request id")
        self.what = what


class OperatorError(TrimtabError):
    """A command that cannot be carried out as asked; nothing was written."""

    code = ErrorCode.INVALID


class UnknownRelease(OperatorError):
    """No release of this name was created."""

    code = ErrorCode.NOT_FOUND

    def __init__(self, release: str, known: tuple[str, ...] = ()) -> None:
        super().__init__(
            f"unknown release {release!r}; known: {', '.join(known) or 'none'}; "
            "`trimtab release create` makes one"
        )
        self.release, self.known = release, known


class UnknownSetting(OperatorError):
    """No tunable of this name."""

    code = ErrorCode.NOT_FOUND

    def __init__(self, name: str, known: tuple[str, ...] = ()) -> None:
        super().__init__(f"unknown setting {name!r}; known: {', '.join(known)}")
        self.name, self.known = name, known


class SettingOutOfBounds(OperatorError):
    """A value outside the bounds of its setting."""

    def __init__(self, name: str, value: str, low: float, high: float) -> None:
        super().__init__(f"{name} = {value} is not allowed; give a number from {low:g} to {high:g}")
        self.name, self.value, self.low, self.high = name, value, low, high


class InvalidCommand(OperatorError):
    """The command does not fit the present state."""


class RevisionConflict(OperatorError):
    """The state is no longer at the revision the operator looked at."""

    code = ErrorCode.CONFLICT
    retryable = True

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(f"expected revision {expected}, it is {found}; look again, then repeat")
        self.expected, self.found = expected, found


class ReleaseExists(OperatorError):
    """A release of this name has other content; releases are immutable."""

    code = ErrorCode.CONFLICT

    def __init__(self, release: str, stored: str, offered: str) -> None:
        super().__init__(
            f"release {release!r} exists with content {stored}, not {offered}; use another name"
        )
        self.release, self.stored, self.offered = release, stored, offered


class ReleaseInUse(OperatorError):
    """A release that serves, is being ramped or is what a rollback returns to cannot be deleted."""

    code = ErrorCode.CONFLICT

    def __init__(self, release: str, role: str, way_out: str) -> None:
        super().__init__(f"release {release!r} is {role} and stays; {way_out}")
        self.release, self.role = release, role


class InterlockRefused(OperatorError):
    """An interlock refused the command before it was written."""

    code = ErrorCode.CONFLICT

    def __init__(self, interlock: str, why: str) -> None:
        super().__init__(f"interlock {interlock}: {why}")
        self.interlock, self.why = interlock, why


class Disabled(TrimtabError):
    """Switched off by an operator."""

    code = ErrorCode.DISABLED

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is switched off; `trimtab status` says by whom and why")
        self.what = what


class InternalError(TrimtabError):
    """A fault of ours; carries no more than that."""

    def __init__(self) -> None:
        super().__init__("internal error; the worker's log has the cause under this request id")


class RemoteError(TrimtabError):
    """An error that another service replied with, raised again on the caller's side."""

    def __init__(self, reply: ErrorReply, *, retried: bool = False) -> None:
        super().__init__(reply.detail)
        self.retried = retried
        self.code = reply.code
        self.error = reply.error
        self.retryable = reply.retryable

    def reply(self) -> ErrorReply:
        """Return the reply as it came: its class name is the original one."""
        return ErrorReply(
            code=self.code, error=self.error, detail=self.detail, retryable=self.retryable
        )
