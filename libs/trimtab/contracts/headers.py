"""The headers of every request and reply, as one frozen value and its wire form."""

import time
from dataclasses import dataclass, replace
from typing import Self

from trimtab.contracts.errors import InvalidMessage

REQUEST = "Trimtab-Request"
TENANT = "Trimtab-Tenant"
DEADLINE = "Trimtab-Deadline"
RELEASE = "Trimtab-Release"
REVISION = "Trimtab-Revision"
ROLE = "Trimtab-Role"
UNIT = "Trimtab-Unit"
TRACEPARENT = "traceparent"
COMPONENT = "Trimtab-Component"
"""Component version that answered; empty for the gateway's own verbs."""
INSTANCE = "Trimtab-Instance"
"""Worker that answered."""
TIMING = "Trimtab-Timing"
"""Microseconds from admission to reply, of a reply."""
ERROR = "Nats-Service-Error"
"""Class name of the error; only replies that are errors have it (ADR-32)."""
ERROR_CODE = "Nats-Service-Error-Code"
"""Numeric status of the error, see Errors (ADR-32)."""
RETRIED = "Trimtab-Retried"
"""Set on an error that comes from further behind: who relays it tried again already, and asking again multiplies."""
CONTENT_HASH = "Trimtab-Content-Hash"
"""Content hash of a passage in the stream of passages."""
ENTRY = "Trimtab-Entry"
"""What a message in the stream of passages says; without it, a passage."""


MAX_ID_CHARS = 64
"""Longest request id."""


def now_ms() -> int:
    """Return unix milliseconds: deadlines are absolute and cross processes."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Who asks, by when, under which release: read once, carried through all stages."""

    request_id: str
    """Unique per request, at most 64 characters."""
    tenant: str
    """Whose data may be seen."""
    deadline_ms: int
    """Absolute unix milliseconds after which nobody wants the answer."""
    release: str = ""
    """Release chosen at the edge."""
    revision: int = 0
    """Control revision that the edge obeyed."""
    traceparent: str = ""
    """W3C trace context; empty when tracing is off."""
    role: str = ""
    """What the release is to the rollout: stable, canary or control; chosen at the edge."""
    unit: str = ""
    """Caller's key: requests of one tenant with the same key get the same release."""

    def remaining_ms(self) -> float:
        """Return the milliseconds left before the deadline; negative when it passed."""
        return self.deadline_ms - time.time_ns() / 1_000_000

    def traced(self, traceparent: str) -> "RequestContext":
        """Return the same context under another span."""
        return replace(self, traceparent=traceparent)

    def wire(self) -> dict[str, str]:
        """Return the request headers."""
        headers = {
            REQUEST: self.request_id,
            TENANT: self.tenant,
            DEADLINE: str(self.deadline_ms),
        }
        if self.release:
            headers[RELEASE] = self.release
        if self.revision:
            headers[REVISION] = str(self.revision)
        if self.traceparent:
            headers[TRACEPARENT] = self.traceparent
        if self.role:
            headers[ROLE] = self.role
        if self.unit:
            headers[UNIT] = self.unit
        return headers

    @classmethod
    def from_wire(cls, headers: dict[str, str] | None) -> Self:
        """Read request headers.

        Raises:
            InvalidMessage: the request id, tenant or deadline is missing or not of its form.
        """
        headers = headers or {}
        if len(headers.get(REQUEST, "")) > MAX_ID_CHARS:
            raise InvalidMessage("request", f"{REQUEST} is longer than {MAX_ID_CHARS} characters")
        try:
            return cls(
                request_id=headers[REQUEST],
                tenant=headers[TENANT],
                deadline_ms=int(headers[DEADLINE]),
                release=headers.get(RELEASE, ""),
                revision=int(headers.get(REVISION, 0)),
                traceparent=headers.get(TRACEPARENT, ""),
                role=headers.get(ROLE, ""),
                unit=headers.get(UNIT, ""),
            )
        except KeyError as error:
            raise InvalidMessage("request", f"header {error.args[0]} is missing") from None
        except ValueError:
            raise InvalidMessage("request", f"{DEADLINE} and {REVISION} must be integers") from None
