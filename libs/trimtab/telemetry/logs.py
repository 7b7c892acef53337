"""JSON lines on stdout (plain on a terminal), made of an event name and allow-listed keys.

A key that is not on the list is withheld, so that a text, a label or a key can never reach a log by
accident: ids, lengths, hashes and names only.
"""

import logging
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, FilteringBoundLogger

Logger = FilteringBoundLogger

ALLOWED = frozenset(
    {
        "event", "level", "timestamp", "logger", "exception", "exc_info", "stack_info", "withheld",
        "service", "instance", "version", "component", "components", "hash", "request_id", "tenant_hash",
        "endpoint", "outcome", "status", "code", "error", "detail", "release", "revision", "stage",
        "took_ms", "timing_ms", "queue_ms", "count", "size", "rows", "bytes", "limit", "path", "url", "port",
        "pid", "signal", "attempt", "wait_s", "collection", "namespace", "sequence", "index", "passages",
        "kind", "reason", "method", "route", "detector", "taxonomy", "decided_by", "degraded", "from_state", "key_id",
        "to_state", "verdict", "workers", "readiness", "cause", "total", "dimension", "exit_code",
    }
)  # fmt: skip
"""Every key a log line may carry."""


def withhold_unknown(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Drop keys that are not allow-listed and name them in ``withheld``."""
    unknown = sorted(key for key in event if key not in ALLOWED)
    for key in unknown:
        del event[key]
    if unknown:
        event["withheld"] = unknown
    return event


def without_values(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Keep an exception's traceback, drop its message: messages quote values."""
    if isinstance(event.get("exception"), list):
        for part in event["exception"]:
            part.pop("exc_value", None)
            part.pop("exc_notes", None)
    return event


class Libraries(logging.Handler):
    """What libraries log, as lines of ours: the first line of the message without what was put into it."""

    def __init__(self, log: Logger) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; a traceback comes without its exception's message, as everybody's does."""
        template = str(record.msg).partition("\n")[0]
        self._log.log(
            record.levelno, "library", logger=record.name, detail=template, exc_info=record.exc_info
        )


def configure(level: str = "info", *, pretty: bool | None = None) -> None:
    """Set up logging for this process; call once, from a main."""
    pretty = sys.stdout.isatty() if pretty is None else pretty
    traceback = structlog.processors.ExceptionRenderer(
        structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    )
    renderer: Any = (
        structlog.dev.ConsoleRenderer()
        if pretty
        else structlog.processors.JSONRenderer(sort_keys=True)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            traceback,
            without_values,
            withhold_unknown,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(),
        cache_logger_on_first_use=True,
    )


def adopt(log: Logger) -> None:
    """Have what libraries log come as lines of this worker; call once, from a main."""
    logging.basicConfig(level=logging.WARNING, handlers=[Libraries(log)])


def get(service: str, instance: str) -> Logger:
    """Return a logger that names the worker on every line; may be called before :func:`configure`."""
    # Not .bind(): that would fix today's configuration, and a worker is built before its main configures.
    lazy: Logger = structlog.get_logger(service=service, instance=instance)
    return lazy
