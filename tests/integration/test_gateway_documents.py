"""``POST /v1/documents``: stored once, found soon, bad ones named, the rest kept."""

import uuid
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from trimtab.client import Client

pytestmark = pytest.mark.integration


@pytest.fixture
def collection() -> str:
    """A collection that no other test fills."""
    return f"notes-{uuid.uuid4().hex[:8]}"


async def put(
    http: httpx.AsyncClient, collection: str, *documents: Mapping[str, object]
) -> dict[str, Any]:
    body = {"collection": collection, "documents": [dict(document) for document in documents]}
    answer = await http.post("/v1/documents", json=body)
    assert answer.status_code == 200, answer.text
    reply: dict[str, Any] = answer.json()
    return reply


HERON = {
    "id": "heron",
    "text": "A heron stood beside the weir, waiting for eels.",
    "title": "Birds",
    "article": "river",
    "metadata": {"page": "7"},
}
OTTER = {"id": "otter", "text": "Two otters swam under the bridge before dawn."}


async def test_what_was_stored_is_found_with_all_that_came_with_it(
    http: httpx.AsyncClient, client: Client, collection: str
) -> None:
    reply = await put(http, collection, HERON, OTTER)
    await client.wait_searchable(reply["sequence"])
    search = {"text": "a bird near water", "collection": collection}
    found = (await http.post("/v1/search", json=search)).json()["results"]

    assert (reply["collection"], reply["new"], reply["unchanged"]) == (collection, 2, 0)
    assert {key: found[0][key] for key in HERON} == HERON
    assert [result["id"] for result in found] == ["heron", "otter"]
    assert found[1]["article"] in ("otter", ""), "without an article it stands alone"


async def test_the_same_content_is_stored_once_however_often_it_is_sent(
    http: httpx.AsyncClient, collection: str
) -> None:
    first = await put(http, collection, HERON, OTTER)
    again = await put(http, collection, HERON, OTTER)
    changed = await put(http, collection, HERON, {**OTTER, "metadata": {"page": "8"}})

    assert (again["new"], again["unchanged"]) == (0, 2)
    assert (changed["new"], changed["unchanged"]) == (1, 1)
    assert again["sequence"] == first["sequence"], "waiting for it finds what was there already"
    assert changed["sequence"] > first["sequence"]


async def test_sending_an_id_again_replaces_its_passage(
    http: httpx.AsyncClient, client: Client, collection: str
) -> None:
    await put(http, collection, HERON)
    reply = await put(http, collection, {**HERON, "text": "The heron has flown away."})
    await client.wait_searchable(reply["sequence"])
    found = await client.search("heron", collection=collection)

    assert [result.text for result in found.results] == ["The heron has flown away."]


async def test_a_bad_passage_is_named_with_its_reason_and_the_others_are_stored(
    http: httpx.AsyncClient, client: Client, collection: str
) -> None:
    reply = await put(http, collection, HERON, {"id": "blank", "text": " \n "}, OTTER, dict(OTTER))
    await client.wait_searchable(reply["sequence"])
    found = await client.search("river animals", collection=collection)

    rejected = [(bad["index"], bad["id"]) for bad in reply["rejected"]]
    assert reply["new"] == 2
    assert rejected == [(1, "blank"), (3, "otter")]
    assert "blank" in reply["rejected"][0]["reason"]
    assert "twice" in reply["rejected"][1]["reason"]
    assert {result.id for result in found.results} == {"heron", "otter"}


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param({"text": "\u0000\u0001"}, id="nothing that the model knows"),
        pytest.param({"text": "x", "metadata": {"note": "x" * 1_100_000}}, id="over a message"),
    ],
)
async def test_a_passage_that_the_stages_refuse_is_named_and_the_others_are_stored(
    http: httpx.AsyncClient, client: Client, collection: str, bad: dict[str, object]
) -> None:
    others = [{"id": str(number), "text": f"Otter number {number} swims."} for number in range(9)]
    reply = await put(http, collection, *others[:5], {"id": "bad", **bad}, *others[5:])
    await client.wait_searchable(reply["sequence"])
    found = await client.search("otters", collection=collection, limit=20)

    assert (reply["new"], reply["unchanged"]) == (9, 0)
    assert [(refused["index"], refused["id"]) for refused in reply["rejected"]] == [(5, "bad")]
    assert len(found.results) == 9


async def test_a_sender_owns_what_it_sends_unless_it_says_otherwise(
    http: httpx.AsyncClient, client: Client, collection: str
) -> None:
    body = {"collection": collection, "documents": [HERON, {**OTTER, "tenant": "public"}]}
    answer = await http.post("/v1/documents", json=body, headers={"X-Tenant-ID": "acme"})
    await client.wait_searchable(answer.json()["sequence"])

    own = await client.search("river", collection=collection, tenant="acme")
    others = await client.search("river", collection=collection, tenant="globex")

    assert {result.id for result in own.results} == {"heron", "otter"}
    assert {result.id for result in others.results} == {"otter"}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"collection": "Not A Name", "documents": [OTTER]}, id="a bad name"),
        pytest.param({"collection": "notes", "documents": []}, id="no documents"),
        pytest.param({"collection": "notes", "documents": [OTTER] * 65}, id="more than 64"),
        pytest.param({"collection": "notes", "documents": [{"id": "1"}]}, id="no text"),
        pytest.param(
            {"collection": "notes", "documents": [{"id": "1", "text": "x" * 32_769}]},
            id="an endless text",
        ),
    ],
)
async def test_what_is_no_list_of_passages_is_refused(
    http: httpx.AsyncClient, body: dict[str, object]
) -> None:
    answer = await http.post("/v1/documents", json=body)

    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid"
