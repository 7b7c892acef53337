"""``Idempotency-Key``: the same request is answered once, another one under its key is refused."""

import asyncio
import uuid

import httpx
import pytest
from starlette.responses import Response

from services.gateway.http.replays import MAX_ANSWER_BYTES, Named, Replays
from trimtab.bus.connection import connect
from trimtab.bus.ending import close
from trimtab.bus.local_server import LocalServer
from trimtab.contracts.errors import IdempotencyConflict, NotReady, RequestInProgress

pytestmark = pytest.mark.integration

LABEL = {"output": "hate/threatening", "detector": "openai-moderation"}
DOCUMENTS = {"collection": "keyed", "documents": [{"id": "1", "text": "An otter."}]}
WORK = {"work": {"kind": "map", "request": LABEL}}
ROUTES = [
    ("/v1/map", LABEL, {**LABEL, "threshold": 0.5}),
    ("/v1/map/batch", {"requests": [LABEL]}, {"requests": [LABEL, LABEL]}),
    ("/v1/documents", DOCUMENTS, {**DOCUMENTS, "collection": "others"}),
    ("/v1/jobs", WORK, {**WORK, "priority": "high"}),
]


def keyed(key: str, tenant: str = "acme") -> dict[str, str]:
    return {"Idempotency-Key": key, "X-Tenant-ID": tenant}


@pytest.mark.parametrize(("route", "body", "other"), ROUTES, ids=[route for route, _, _ in ROUTES])
async def test_the_same_request_gets_the_stored_answer_and_another_one_is_refused(
    http: httpx.AsyncClient, route: str, body: object, other: object
) -> None:
    key = uuid.uuid4().hex
    first = await http.post(route, json=body, headers=keyed(key))
    again = await http.post(route, json=body, headers=keyed(key))
    refused = await http.post(route, json=other, headers=keyed(key))
    elsewhere = await http.post(route, json=other, headers=keyed(key, "other"))

    assert first.status_code in (200, 202)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["X-Request-ID"] != first.headers["X-Request-ID"]
    problem = refused.json()
    assert (refused.status_code, problem["title"], problem["code"], problem["retryable"]) == (
        409, "IdempotencyConflict", "conflict", False,
    )  # fmt: skip
    assert key not in refused.text
    assert elsewhere.status_code in (200, 202), "another tenant's key is another key"


async def test_an_error_is_no_answer_that_is_kept(http: httpx.AsyncClient) -> None:
    key, body = uuid.uuid4().hex, {**LABEL, "taxonomy": "nobodys"}

    answers = [await http.post("/v1/map", json=body, headers=keyed(key)) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert not any("Idempotency-Replayed" in answer.headers for answer in answers)


@pytest.mark.parametrize("key", ["", "x" * 256, "two words"])
async def test_a_key_that_is_none_is_refused(http: httpx.AsyncClient, key: str) -> None:
    answer = await http.post("/v1/map", json=LABEL, headers=keyed(key))

    assert (answer.status_code, answer.json()["title"]) == (422, "InvalidMessage")


def named(body: bytes = b"{}", remaining_s: float = 60.0) -> Named:
    return Named("k", ("acme", "map"), body, remaining_s)


async def no_answer() -> Response:
    raise NotReady("this must not be asked")


async def test_a_twin_in_flight_is_told_to_come_again_and_then_gets_the_answer(
    nats_server: LocalServer,
) -> None:
    connection = await connect(nats_server.url, "gateway")
    here, there = Replays(connection, 600), Replays(connection, 600)
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def slow() -> Response:
        begun.set()
        await may_end.wait()
        return Response(b"done")

    first = asyncio.create_task(here.once(named(), slow))
    await begun.wait()
    with pytest.raises(RequestInProgress) as waiting:
        await there.once(named(), no_answer)
    with pytest.raises(IdempotencyConflict):
        await there.once(named(b"[]"), no_answer)
    may_end.set()
    await first

    assert waiting.value.reply().retryable
    assert bytes((await there.once(named(), no_answer)).body) == b"done"
    await close(connection)


async def test_what_a_killed_gateway_began_is_taken_over_once_its_time_is_over(
    nats_server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await connect(nats_server.url, "gateway")
    here, there = Replays(connection, 600), Replays(connection, 600)
    monkeypatch.setattr("services.gateway.http.replays._GRACE_S", 0.0)
    never = asyncio.Event()
    begun = asyncio.Event()

    async def hang() -> Response:
        begun.set()
        await never.wait()
        return Response(b"too late")

    async def answer() -> Response:
        return Response(b"done")

    dead = asyncio.create_task(here.once(named(remaining_s=0.0), hang))
    await begun.wait()
    taken = await there.once(named(), answer)
    never.set()
    late = await dead

    assert bytes(taken.body) == b"done"
    assert bytes(late.body) == b"too late", "its own caller still gets what it made"
    assert bytes((await there.once(named(), no_answer)).body) == b"done"
    await close(connection)


async def test_an_answer_whose_time_is_over_is_made_again(nats_server: LocalServer) -> None:
    connection = await connect(nats_server.url, "gateway")
    keeping, made = Replays(connection, 600), 0

    async def count() -> Response:
        nonlocal made
        made += 1
        return Response(str(made).encode())

    await keeping.once(Named("first", ("acme", "map"), b"{}", 60.0), count)  # makes the bucket
    over = Replays(connection, -1.0)
    answers = [bytes((await over.once(named(), count)).body) for _ in range(2)]

    assert answers == [b"2", b"3"]
    await close(connection)


async def test_an_answer_that_is_too_large_is_made_again(nats_server: LocalServer) -> None:
    connection = await connect(nats_server.url, "gateway")
    replays, made = Replays(connection, 600), 0

    async def large() -> Response:
        nonlocal made
        made += 1
        return Response(b"x" * (MAX_ANSWER_BYTES + 1))

    for _ in range(2):
        await replays.once(named(), large)

    assert made == 2
    await close(connection)


async def test_without_the_bucket_a_request_is_simply_answered(nats_server: LocalServer) -> None:
    connection = await connect(nats_server.url, "gateway")
    replays = Replays(connection, 600)
    await close(connection)

    async def answer() -> Response:
        return Response(b"done")

    assert bytes((await replays.once(named(), answer)).body) == b"done"
