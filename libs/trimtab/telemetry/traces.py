"""Spans that cross NATS, when an OTLP endpoint is configured; otherwise nothing at all.

The standard variable ``OTEL_EXPORTER_OTLP_ENDPOINT`` switches it on. The only module that imports
OpenTelemetry.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from trimtab.contracts.headers import TRACEPARENT, RequestContext

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import SpanKind, Tracer

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


class MissingTracing(RuntimeError):
    """An endpoint is configured, the packages are not installed."""

    def __init__(self) -> None:
        super().__init__(f"{ENDPOINT} is set; install the exporter: pip install 'trimtab[otlp]'")


class _Tracing:
    """The process's tracer; None until :func:`configure` found an endpoint."""

    tracer: "Tracer | None" = None


def configure(service: str, version: str, *, processor: "SpanProcessor | None" = None) -> bool:
    """Start tracing when an endpoint is set (or a processor given); return whether it is on.

    Raises:
        MissingTracing: an endpoint is set and OpenTelemetry is not installed.
    """
    if processor is None and not os.environ.get(ENDPOINT):
        return False
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError:
        raise MissingTracing from None
    provider = TracerProvider(
        resource=Resource.create({"service.name": service, "service.version": version})
    )
    if processor is None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        processor = BatchSpanProcessor(OTLPSpanExporter())
    provider.add_span_processor(processor)
    _Tracing.tracer = provider.get_tracer("trimtab", version)
    return True


def reset() -> None:
    """Switch tracing off again."""
    _Tracing.tracer = None


def server_span(
    endpoint: str, service: str, context: RequestContext
) -> AbstractContextManager[RequestContext]:
    """Span around the answer to one request; yields the context to pass on."""
    if _Tracing.tracer is None:
        return nullcontext(context)
    from opentelemetry.trace import SpanKind

    return _span(f"{endpoint} process", SpanKind.SERVER, context, {"trimtab.service": service})


def client_span(
    stage: str, component: str, context: RequestContext
) -> AbstractContextManager[RequestContext]:
    """Span around one call to a stage; yields the context whose headers carry it."""
    if _Tracing.tracer is None:
        return nullcontext(context)
    from opentelemetry.trace import SpanKind

    return _span(f"{stage} send", SpanKind.CLIENT, context, {"trimtab.component": component})


@contextmanager
def _span(
    name: str, kind: "SpanKind", context: RequestContext, attributes: dict[str, str]
) -> Iterator[RequestContext]:
    from opentelemetry.trace import StatusCode
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    tracer = _Tracing.tracer
    if tracer is None:
        yield context
        return
    propagator = TraceContextTextMapPropagator()
    parent = propagator.extract({TRACEPARENT: context.traceparent}) if context.traceparent else None
    known: dict[str, str | int] = {
        "messaging.system": "nats",
        "trimtab.request_id": context.request_id,
        "trimtab.release": context.release,
        "trimtab.revision": context.revision,
    }
    with tracer.start_as_current_span(
        name,
        context=parent,
        kind=kind,
        attributes={**known, **attributes},
        # An exception's message may quote a text, so only its class is recorded.
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        carrier: dict[str, str] = {}
        propagator.inject(carrier)
        try:
            yield context.traced(carrier.get(TRACEPARENT, ""))
        except Exception as error:
            span.set_status(StatusCode.ERROR, type(error).__name__)
            raise
