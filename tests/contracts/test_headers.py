"""Request headers round-trip, and headers that lack what every stage needs are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.contracts import headers
from trimtab.contracts.errors import InvalidMessage
from trimtab.contracts.headers import RequestContext

_TOKEN = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=64)
_CONTEXTS = st.builds(
    RequestContext,
    request_id=_TOKEN,
    tenant=_TOKEN,
    deadline_ms=st.integers(0, 2**53),
    release=st.just("") | _TOKEN,
    revision=st.integers(0, 2**53),
    traceparent=st.just("") | _TOKEN,
)
_SPELLED = {
    "ROLE": "Trimtab-Role",
    "UNIT": "Trimtab-Unit",
    "REQUEST": "Trimtab-Request",
    "TENANT": "Trimtab-Tenant",
    "DEADLINE": "Trimtab-Deadline",
    "RELEASE": "Trimtab-Release",
    "REVISION": "Trimtab-Revision",
    "TRACEPARENT": "traceparent",
    "COMPONENT": "Trimtab-Component",
    "INSTANCE": "Trimtab-Instance",
    "TIMING": "Trimtab-Timing",
    "RETRIED": "Trimtab-Retried",
    "ERROR": "Nats-Service-Error",
    "ERROR_CODE": "Nats-Service-Error-Code",
    "CONTENT_HASH": "Trimtab-Content-Hash",
    "ENTRY": "Trimtab-Entry",
}
"""Users' clients send and read these: a rename breaks them."""


@given(context=_CONTEXTS)
def test_a_context_reads_back_from_its_headers(context: RequestContext) -> None:
    assert RequestContext.from_wire(context.wire()) == context


@given(context=_CONTEXTS)
def test_header_values_are_strings_and_never_empty(context: RequestContext) -> None:
    assert all(isinstance(value, str) and value for value in context.wire().values())


@pytest.mark.parametrize("missing", [headers.REQUEST, headers.TENANT, headers.DEADLINE])
def test_headers_without_an_id_a_tenant_or_a_deadline_are_refused(missing: str) -> None:
    wire = RequestContext(request_id="r", tenant="t", deadline_ms=1).wire()
    del wire[missing]

    with pytest.raises(InvalidMessage, match=f"header {missing} is missing"):
        RequestContext.from_wire(wire)


def test_no_headers_at_all_are_refused() -> None:
    with pytest.raises(InvalidMessage, match="missing"):
        RequestContext.from_wire(None)


@pytest.mark.parametrize("name", [headers.DEADLINE, headers.REVISION])
def test_a_number_that_is_none_is_refused(name: str) -> None:
    wire = RequestContext(request_id="r", tenant="t", deadline_ms=1).wire()

    with pytest.raises(InvalidMessage, match="must be integers"):
        RequestContext.from_wire({**wire, name: "soon"})


def test_a_deadline_in_the_past_has_negative_time_left() -> None:
    assert RequestContext(request_id="r", tenant="t", deadline_ms=0).remaining_ms() < 0


def test_the_deadline_clock_counts_unix_milliseconds() -> None:
    deadline = headers.now_ms() + 60_000

    assert (
        0
        < RequestContext(request_id="r", tenant="t", deadline_ms=deadline).remaining_ms()
        <= 60_000
    )


def test_a_traced_context_changes_nothing_but_its_span() -> None:
    context = RequestContext(request_id="r", tenant="t", deadline_ms=9, release="base", revision=3)

    assert context.traced("00-a-b-01").traced("") == context


def test_header_names_are_a_public_contract() -> None:
    spelled = {n: v for n, v in vars(headers).items() if n.isupper() and isinstance(v, str)}

    assert spelled == _SPELLED
