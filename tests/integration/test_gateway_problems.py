"""Every failure over HTTP is an RFC 9457 problem with the request's id, whatever went wrong."""

import asyncio

import httpx
import pytest

from tests.deployments import Deployment

pytestmark = pytest.mark.integration

FIELDS = {"type", "title", "status", "detail", "code", "retryable", "request_id"}
ROUTES = ("/v1/search", "/v1/map", "/v1/map/batch", "/v1/embeddings", "/v1/rerank", "/v1/documents")


def problem_of(answer: httpx.Response) -> dict[str, object]:
    """Return the body, asserting that it is a whole problem."""
    body: dict[str, object] = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(body) == FIELDS
    assert body["status"] == answer.status_code
    assert body["type"] == f"urn:trimtab:error:{body['code']}"
    assert body["request_id"] == answer.headers["X-Request-ID"]
    assert body["detail"]
    assert ("Retry-After" in answer.headers) == body["retryable"]
    return body


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="half a body"),
        pytest.param(b"\xff\xfe\x00", id="bytes"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"null", id="null"),
        pytest.param(b'{"surprise": 1}', id="an unknown field"),
        pytest.param(b"[" * 60_000, id="a deep nest"),
    ],
)
async def test_a_body_that_is_no_request_is_422(
    http: httpx.AsyncClient, route: str, body: bytes
) -> None:
    answer = await http.post(route, content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code == 422
    assert problem_of(answer)["code"] == "invalid"


async def test_an_unknown_path_is_404(http: httpx.AsyncClient) -> None:
    answer = await http.get("/v2/search")

    assert answer.status_code == 404
    assert problem_of(answer)["code"] == "not_found"


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_a_wrong_method_is_405_and_names_the_right_one(
    http: httpx.AsyncClient, route: str, method: str
) -> None:
    answer = await http.request(method, route)

    assert answer.status_code == 405
    assert answer.headers["Allow"] == "POST"
    assert problem_of(answer)["code"] == "invalid"


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
async def test_a_body_over_8_mib_is_413_and_the_gateway_lives(
    http: httpx.AsyncClient, deployment: Deployment, chunked: bool
) -> None:
    """A sender that waits for the answer while it still sends gets it; others see the end of the connection."""
    half = b'{"text":"' + b"x" * (5 * 1024 * 1024)
    status, body = await _send_slowly(deployment.api, [half, b"x" * len(half)], chunked=chunked)

    assert status == 413
    assert b'"code":"too_large"' in body
    assert (await http.get("/ready")).status_code == 200


async def _send_slowly(api: str, parts: list[bytes], *, chunked: bool) -> tuple[int, bytes]:
    host, port = api.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    length = (
        "Transfer-Encoding: chunked" if chunked else f"Content-Length: {sum(map(len, parts)) + 99}"
    )
    writer.write(f"POST /v1/search HTTP/1.1\r\nHost: {host}\r\n{length}\r\n\r\n".encode())
    for part in parts:
        writer.write(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
        await writer.drain()
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    body = await asyncio.wait_for(reader.read(4096), 30)
    writer.close()
    return int(head.split()[1]), body


async def test_a_deadline_that_cannot_be_met_is_408_and_not_worth_a_retry(
    http: httpx.AsyncClient,
) -> None:
    body = {"text": "a query that nobody asked before"}
    answer = await http.post("/v1/search", json=body, headers={"X-Timeout-Ms": "1"})

    assert answer.status_code == 408
    problem = problem_of(answer)
    assert (problem["code"], problem["retryable"]) == ("deadline", False)


@pytest.mark.parametrize("wanted", ["0", "-5", "soon", "1.5", "120001", "9" * 40, "٣"])
async def test_a_deadline_that_is_no_number_of_milliseconds_is_422(
    http: httpx.AsyncClient, wanted: str
) -> None:
    headers = [(b"X-Timeout-Ms", wanted.encode())]
    answer = await http.post("/v1/search", json={"text": "x"}, headers=headers)

    assert answer.status_code == 422
    assert "X-Timeout-Ms" in str(problem_of(answer)["detail"])


@pytest.mark.parametrize("tenant", ["", "a b", "x" * 65, "a/b", "*", "tenänt"])
async def test_a_tenant_that_is_no_name_is_422(http: httpx.AsyncClient, tenant: str) -> None:
    headers = [(b"X-Tenant-ID", tenant.encode())]
    answer = await http.post("/v1/search", json={"text": "x"}, headers=headers)

    assert answer.status_code == 422
    assert "X-Tenant-ID" in str(problem_of(answer)["detail"])


async def test_a_request_id_is_echoed_and_one_that_is_no_name_is_replaced(
    http: httpx.AsyncClient,
) -> None:
    async def echoed(given: str) -> tuple[str, str]:
        headers = {"X-Request-ID": given} if given else {}
        answer = await http.post("/v1/search", json={"text": "x"}, headers=headers)
        return answer.headers["X-Request-ID"], answer.json()["request_id"]

    assert await echoed("my.request-1") == ("my.request-1", "my.request-1")
    for bad in ("", "two words", "x" * 65, "semi;colon"):
        header, body = await echoed(bad)
        assert header == body != bad
        assert len(header) == 32


async def test_a_trace_context_without_form_is_ignored(http: httpx.AsyncClient) -> None:
    """It becomes a NATS header: an endless one must not cost the gateway its connection."""
    headers = {"traceparent": "x" * 50_000}
    answers = [await http.post("/v1/search", json={"text": "x"}, headers=headers) for _ in range(3)]

    assert {answer.status_code for answer in answers} == {200}


async def test_a_long_head_may_come_in_pieces(
    http: httpx.AsyncClient, deployment: Deployment
) -> None:
    host, port = deployment.api.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET /ready HTTP/1.1\r\nHost: {host}\r\nX-Long: {'x' * 40_000}".encode())
    await writer.drain()
    for _ in range(3):  # other requests are answered meanwhile, so the gateway has read this part
        assert (await http.get("/ready")).status_code == 200
    writer.write(b"\r\n\r\n")
    async with asyncio.timeout(30):
        head = await reader.readuntil(b"\r\n\r\n")
    writer.close()

    assert int(head.split()[1]) == 200
