"""What of an HTTP request is believed: the body as its schema says, headers only in their form."""

import pytest
from starlette.requests import Request

from services.gateway.http.bodies import DocumentBody, EmbeddingsBody, MapBody
from services.gateway.http.exchange import context_of, parse
from trimtab.contracts.errors import InvalidMessage
from trimtab.contracts.pipeline import SearchRequest


def request(**headers: str) -> Request:
    pairs = [
        (name.replace("_", "-").encode(), value.encode("latin-1"))
        for name, value in headers.items()
    ]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": pairs})


def test_a_whole_number_may_be_written_with_a_point() -> None:
    body = parse(SearchRequest, b'{"text": "a", "limit": 10.0}')

    assert body.limit == 10
    assert isinstance(body.limit, int)


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b'{"text": "a", "limit": 10.5}', "$.limit"),
        (b'{"text": "a", "limit": 1e400}', "$.limit"),
        (b'{"text": "a", "limit": 1e300}', "$.limit"),
        (b'{"text": "a", "limit": "10"}', "$.limit"),
        (b'{"text": "a", "limit": true}', "$.limit"),
    ],
)
def test_what_is_no_whole_number_is_refused_and_named(data: bytes, place: str) -> None:
    with pytest.raises(InvalidMessage) as refused:
        parse(SearchRequest, data)

    assert place in refused.value.detail


def test_numbers_with_a_fraction_keep_it() -> None:
    body = parse(MapBody, b'{"output": "x", "threshold": 1.0}')

    assert body.threshold == 1.0
    assert parse(MapBody, b'{"output": "x", "threshold": 0.25}').threshold == 0.25


@pytest.mark.parametrize("data", [b"", b"[", b"\xff", b"null", b"[" * 100_000, b'{"text": "\xff"}'])
def test_what_is_no_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidMessage):
        parse(SearchRequest, data)


def test_a_model_name_has_an_end() -> None:
    with pytest.raises(InvalidMessage):
        parse(EmbeddingsBody, b'{"model": "%b", "input": "x"}' % (b"m" * 121))


def test_a_trace_context_is_kept_in_its_form_and_dropped_in_any_other() -> None:
    good = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"

    assert context_of(request(traceparent=good), "r", "", 1000).traceparent == good
    for bad in ("", "x" * 50_000, good.upper(), good + "\n", good + "-more"):
        assert context_of(request(traceparent=bad), "r", "", 1000).traceparent == ""


def test_a_passage_belongs_to_its_sender_unless_it_names_an_owner() -> None:
    silent = DocumentBody(id="1", text="a")
    spoken = DocumentBody(id="1", text="a", title="t", tenant="public", metadata={"k": "v"})

    assert silent.owned_by("acme").tenant == "acme"
    assert spoken.owned_by("acme").tenant == "public"
    assert spoken.owned_by("acme").metadata == {"k": "v"}
