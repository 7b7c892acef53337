"""Deleting passages over HTTP, NATS and the command line: gone for good, counted, and nobody else's."""

import asyncio
import json
import uuid
from urllib.parse import quote

import httpx
import pytest
from typer.testing import CliRunner, Result

from tests.deployments import Deployment
from trimtab.cli.app import build
from trimtab.client import Client
from trimtab.contracts.documents import Document, PutReply
from trimtab.contracts.errors import RemoteError

pytestmark = pytest.mark.integration

TEXTS = {
    "heron": "A heron stood beside the weir, waiting for eels.",
    "otter": "Two otters swam under the bridge before dawn.",
    "eel": "An eel slid through the reeds beside the weir.",
    "bridge": "The bridge was built of grey stone over the river.",
}


@pytest.fixture
def collection() -> str:
    """A collection that no other test fills."""
    return f"gone-{uuid.uuid4().hex[:8]}"


async def put(
    client: Client, collection: str, *ids: str, tenant: str = "public", article: str = ""
) -> PutReply:
    passages = [Document(id=name, text=TEXTS[name], article=article, tenant=tenant) for name in ids]
    reply = await client.put_documents(collection, passages)
    await client.wait_searchable(reply.sequence)
    return reply


async def found(client: Client, collection: str, tenant: str = "public") -> set[str]:
    reply = await client.search("river animals", collection=collection, tenant=tenant, limit=50)
    return {result.id for result in reply.results}


async def passages_of(client: Client, collection: str) -> int:
    [retriever] = [each for each in await client.health() if each.service == "retriever"]
    return int(retriever.facts[f"passages.{collection}"])


async def test_a_deleted_passage_is_gone_and_deleting_it_again_says_so(
    http: httpx.AsyncClient, client: Client, collection: str
) -> None:
    await put(client, collection, "heron", "otter", "eel")
    address = f"/v1/collections/{collection}/documents/heron"

    first = (await http.delete(address)).json()
    await client.wait_searchable(first["sequence"])
    second = await http.delete(address)
    never = await http.delete(f"/v1/collections/{collection}/documents/swan")

    assert first == {
        "collection": collection,
        "deleted": 1,
        "missing": 0,
        "sequence": first["sequence"],
    }
    assert (second.status_code, second.json()["deleted"], second.json()["missing"]) == (200, 0, 1)
    assert second.json()["sequence"] == first["sequence"], "waiting for it finds nothing of it"
    assert (never.json()["deleted"], never.json()["missing"]) == (0, 1)
    assert await found(client, collection) == {"otter", "eel"}
    assert await passages_of(client, collection) == 2


async def test_a_deleted_passage_can_come_back_with_the_same_content(
    client: Client, collection: str
) -> None:
    await put(client, collection, "heron", "otter")
    await client.delete_documents(collection, ["heron"])

    again = await put(client, collection, "heron", "otter")

    assert (again.new, again.unchanged) == (1, 1)
    assert await found(client, collection) == {"heron", "otter"}


async def test_an_article_goes_with_all_its_passages_beside_single_ones(
    http: httpx.AsyncClient, client: Client, collection: str
) -> None:
    await put(client, collection, "heron", "eel", article="birds")
    await put(client, collection, "otter", "bridge")
    body = {
        "collection": collection,
        "ids": ["otter", "otter", "swan"],
        "articles": ["birds", "fish"],
    }

    reply = (await http.post("/v1/documents/delete", json=body)).json()
    await client.wait_searchable(reply["sequence"])

    assert (reply["deleted"], reply["missing"]) == (3, 2)
    assert await found(client, collection) == {"bridge"}


async def test_an_article_that_was_just_written_is_deleted_whole(
    client: Client, collection: str
) -> None:
    """The retriever that is asked for its passages may not have applied them yet: it is waited for."""
    passages = [
        Document(id=f"{name}{n}", text=TEXTS[name], article="all") for name in TEXTS for n in "123"
    ]
    await client.put_documents(collection, passages)

    reply = await client.delete_documents(collection, articles=["all"])
    await client.wait_searchable(reply.sequence)

    assert (reply.deleted, reply.missing) == (12, 0)
    assert await found(client, collection) == set()


async def test_a_tenant_deletes_its_own_passages_alone(
    http: httpx.AsyncClient, client: Client, collection: str
) -> None:
    await put(client, collection, "heron", "otter", tenant="acme", article="river")
    await put(client, collection, "heron", tenant="globex", article="river")
    await put(client, collection, "heron", "bridge", article="river")

    body = {"collection": collection, "ids": ["heron", "bridge"], "articles": ["river"]}
    answer = await http.post("/v1/documents/delete", json=body, headers={"X-Tenant-ID": "globex"})
    await client.wait_searchable(answer.json()["sequence"])

    assert (answer.json()["deleted"], answer.json()["missing"]) == (1, 2)
    assert await passages_of(client, collection) == 4
    assert await found(client, collection, "acme") == {"heron", "otter", "bridge"}
    own = await http.get(
        f"/v1/collections/{collection}/documents/heron", headers={"X-Tenant-ID": "acme"}
    )
    theirs = await http.get(
        f"/v1/collections/{collection}/documents/heron", headers={"X-Tenant-ID": "globex"}
    )
    assert own.json()["document"]["tenant"] == "acme"
    assert theirs.json()["document"]["tenant"] == "public"


async def test_a_tenant_cannot_write_for_another_one(
    http: httpx.AsyncClient, client: Client, collection: str
) -> None:
    await put(client, collection, "heron", tenant="globex")
    body = {
        "collection": collection,
        "documents": [
            {"id": "heron", "text": "Nothing to see here.", "tenant": "globex"},
            {"id": "otter", "text": TEXTS["otter"]},
        ],
    }

    answer = (await http.post("/v1/documents", json=body, headers={"X-Tenant-ID": "acme"})).json()

    assert (answer["new"], [bad["index"] for bad in answer["rejected"]]) == (1, [0])
    assert "tenant" in answer["rejected"][0]["reason"]
    stored = await client.get_document(collection, "heron", tenant="globex")
    assert stored.document.text == TEXTS["heron"]


async def test_what_is_stored_can_be_read_at_once_and_not_after_it_was_deleted(
    http: httpx.AsyncClient, client: Client, collection: str
) -> None:
    name = "guides/otter #1?"
    passage = Document(id=name, text=TEXTS["otter"], title="Otters", metadata={"page": "7"})
    address = f"/v1/collections/{collection}/documents/{quote(name)}"
    written = await client.put_documents(collection, [passage])

    stored = (await http.get(address)).json()
    deleted = (await http.delete(address)).json()["deleted"]
    after = await http.get(address)

    assert stored["document"] | {"tenant": "public"} == {
        "id": name,
        "text": TEXTS["otter"],
        "title": "Otters",
        "article": "",
        "tenant": "public",
        "metadata": {"page": "7"},
    }
    assert (stored["sequence"], stored["collection"]) == (written.sequence, collection)
    assert deleted == 1
    assert (after.status_code, after.json()["title"]) == (404, "UnknownDocument")


async def test_a_collection_that_nobody_began_is_a_404_that_names_the_others(
    http: httpx.AsyncClient, client: Client, collection: str
) -> None:
    await put(client, collection, "heron")

    answers = [
        await http.delete(f"/v1/collections/{collection}x/documents/heron"),
        await http.get(f"/v1/collections/{collection}x/documents/heron"),
        await http.post("/v1/documents/delete", json={"collection": f"{collection}x"}),
    ]

    for answer in answers:
        assert (answer.status_code, answer.json()["title"]) == (404, "UnknownCollection")
        assert collection in answer.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "/v1/collections/Not%20A%20Name/documents/1", None),
        ("GET", "/v1/collections/notes/documents/", None),
        ("GET", f"/v1/collections/notes/documents/{'x' * 257}", None),
        ("POST", "/v1/documents/delete", {"collection": "notes", "ids": [""]}),
        ("POST", "/v1/documents/delete", {"collection": "notes", "ids": ["1"] * 65}),
        ("POST", "/v1/documents/delete", {"ids": ["1"]}),
        ("POST", "/v1/documents/delete", {"collection": "notes", "everything": True}),
    ],
)
async def test_what_names_no_passage_is_refused(
    http: httpx.AsyncClient, method: str, path: str, body: object
) -> None:
    answer = await http.request(method, path, json=body)

    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid"


async def test_of_many_deletions_at_once_one_counts_the_passage(
    client: Client, collection: str
) -> None:
    await put(client, collection, *TEXTS)

    replies = await asyncio.gather(
        *(client.delete_documents(collection, list(TEXTS)) for _ in range(5))
    )

    assert sum(reply.deleted for reply in replies) == len(TEXTS)
    assert sum(reply.missing for reply in replies) == 4 * len(TEXTS)


async def trimtab(deployment: Deployment, *words: str) -> Result:
    arguments = [*words, "--nats", deployment.nats_url]
    return await asyncio.to_thread(CliRunner().invoke, build(), arguments)


async def test_the_command_line_shows_and_deletes(
    deployment: Deployment, client: Client, collection: str
) -> None:
    await put(client, collection, "heron", "eel", article="birds")
    await put(client, collection, "otter")
    place = ("--collection", collection)

    shown = await trimtab(deployment, "documents", "show", "otter", *place)
    as_json = await trimtab(deployment, "documents", "show", "otter", *place, "--json")
    gone = await trimtab(
        deployment, "documents", "delete", "otter", "swan", "--article", "birds", *place, "--json"
    )
    again = await trimtab(deployment, "documents", "delete", "otter", *place)
    missing = await trimtab(deployment, "documents", "show", "otter", *place, "--json")
    unnamed = await trimtab(deployment, "documents", "delete", *place)

    assert TEXTS["otter"] in shown.stdout
    assert json.loads(as_json.stdout)["document"]["text"] == TEXTS["otter"]
    assert json.loads(gone.stdout) == {"collection": collection, "deleted": 3, "missing": 1}
    assert await found(client, collection) == set(), "it waited"
    assert (again.exit_code, again.stdout) == (0, f"{collection}: 0 deleted, 1 were not there\n")
    assert (missing.exit_code, json.loads(missing.stdout)["error"]["name"]) == (
        1,
        "UnknownDocument",
    )
    assert unnamed.exit_code == 2


async def test_the_client_raises_what_the_gateway_says(client: Client, collection: str) -> None:
    with pytest.raises(RemoteError) as refused:
        await client.get_document(collection, "otter")

    assert (refused.value.error, refused.value.status) == ("UnknownCollection", 404)
