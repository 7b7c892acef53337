"""Bodies of the routes of jobs. Closed to unknown fields."""

from typing import Annotated, Any

from msgspec import Meta

from services.gateway.http.bodies import Body, DocumentsBody, MapBody
from trimtab.contracts.jobs import (
    DEFAULT_DEADLINE_S,
    MAX_DEADLINE_S,
    JobId,
    JobPriority,
    JobRecord,
)
from trimtab.contracts.pipeline import SearchRequest


class SearchWork(Body, frozen=True, kw_only=True, tag_field="kind", tag="search"):
    """A job that searches."""

    request: SearchRequest
    """As ``POST /v1/search`` takes it."""


class MapWork(Body, frozen=True, kw_only=True, tag_field="kind", tag="map"):
    """A job that maps."""

    request: MapBody
    """As ``POST /v1/map`` takes it."""


class IngestWork(Body, frozen=True, kw_only=True, tag_field="kind", tag="ingest"):
    """A job that stores passages."""

    request: DocumentsBody
    """As ``POST /v1/documents`` takes it."""


class JobBody(Body, frozen=True, kw_only=True):
    """``POST /v1/jobs``."""

    work: SearchWork | MapWork | IngestWork
    """What to do."""
    id: JobId | None = None
    """Unique within the tenant: the same job again is found, not done twice. A new one when left out."""
    priority: JobPriority = JobPriority.NORMAL
    """Normal jobs wait while high ones do."""
    deadline_s: Annotated[int, Meta(ge=1, le=MAX_DEADLINE_S)] = DEFAULT_DEADLINE_S
    """Seconds from now after which nobody wants the answer."""


class JobName(Body, frozen=True, kw_only=True):
    """What the path of ``GET /v1/jobs/{id}`` names."""

    id: JobId


class JobAnswer(Body, frozen=True, kw_only=True):
    """Answer of ``POST /v1/jobs`` and ``GET /v1/jobs/{id}``: 202 while it waits, 200 once it is done."""

    id: str
    kind: str
    state: str
    """pending or done; a job that failed is answered with its problem."""
    at: float
    """Unix seconds of the submission while it waits, of its end afterwards."""
    attempts: int
    result: dict[str, Any] | None = None
    """As the route of its kind answers; null while it waits."""

    @classmethod
    def of(cls, record: JobRecord, result: dict[str, Any] | None) -> "JobAnswer":
        """Return what HTTP shows of a record."""
        return cls(
            id=record.id,
            kind=record.kind.value,
            state=record.state.value,
            at=record.at,
            attempts=record.attempts,
            result=result,
        )
