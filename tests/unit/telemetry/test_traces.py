"""Spans cross NATS through the traceparent header; without an endpoint there is nothing."""

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from trimtab.contracts.headers import RequestContext
from trimtab.telemetry import traces


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    memory = InMemorySpanExporter()
    traces.configure("gateway", "1.0.0", processor=SimpleSpanProcessor(memory))
    yield memory
    traces.reset()


def context() -> RequestContext:
    return RequestContext("r-1", "acme", 0, release="base", revision=7)


def test_the_workers_span_is_a_child_of_the_callers_across_the_wire(
    exporter: InMemorySpanExporter,
) -> None:
    with traces.client_span("encode", "minilm@1", context()) as sent:
        received = RequestContext.from_wire(sent.wire())
        with traces.server_span("encode", "encoder", received):
            pass

    server, client = exporter.get_finished_spans()
    assert server.parent is not None
    assert client.context is not None
    assert server.parent.span_id == client.context.span_id
    assert (server.attributes or {})["trimtab.request_id"] == "r-1"


def test_a_failing_request_leaves_no_exception_text_in_its_span(
    exporter: InMemorySpanExporter,
) -> None:
    with (
        pytest.raises(ValueError, match="secret"),
        traces.server_span("encode", "encoder", context()),
    ):
        raise ValueError("secret")

    (span,) = exporter.get_finished_spans()
    assert "secret" not in span.to_json()


def test_without_an_endpoint_the_context_passes_through_untouched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(traces.ENDPOINT, raising=False)

    assert not traces.configure("gateway", "1.0.0")
    with traces.client_span("encode", "minilm@1", context()) as passed:
        assert passed == context()
