"""Vectors of two spaces never meet: every door says so with a typed error and a 422, and stores nothing."""

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from nats.aio.client import Client as NatsClient
from typer.testing import CliRunner

from tests.deployments import Deployment
from tests.drills.abuse import ENCODE, MAP, RETRIEVE, SCORE, unit
from trimtab.bus.caller import Caller
from trimtab.cli.app import build
from trimtab.client import Client
from trimtab.contracts import subjects
from trimtab.contracts.documents import CollectionRecord, Document, Entry, IndexedPassage
from trimtab.contracts.encode import EncodeReply, TokenVectors
from trimtab.contracts.errors import RemoteError
from trimtab.contracts.gates import ProbeSearch
from trimtab.contracts.headers import ENTRY, RequestContext, now_ms
from trimtab.contracts.mapping import MapReply
from trimtab.contracts.message import Message, encode
from trimtab.contracts.retrieve import RetrieveReply, ScoreReply
from trimtab.contracts.tensor import Matrix

pytestmark = pytest.mark.integration

SPACE, DIMENSION = "single_vector.minilm.384.v1", 384
OTHER_SPACE = "single_vector.other.384.v1"
OTP = Document(id="1", text="One otter.")


@dataclass
class Place:
    """The shared deployment and two collections that its release's encoder does not fit."""

    deployment: Deployment
    http: httpx.AsyncClient
    client: Client
    foreign: str
    """Of another namespace."""
    narrow: str
    """Of the same namespace, with other dimensions."""
    folder: Path

    async def ask(self, subject: str, request: Message, kind: type[Message]) -> tuple[str, int]:
        """Return the error of a stage."""
        context = RequestContext(uuid.uuid4().hex, "public", now_ms() + 20_000)
        return await refusal(Caller(self.connection).call(subject, request, kind, context))

    async def post(self, path: str, body: Mapping[str, object]) -> tuple[str, int]:
        """Return the problem of a route."""
        answer = await self.http.post(path, json=dict(body))
        return answer.json().get("title", ""), answer.status_code

    async def run(self, *words: str) -> tuple[str, int]:
        """Return the error of a command; its status is what the error's code means."""
        arguments = [*words, "--nats", self.deployment.nats_url, "--json"]
        result = await asyncio.to_thread(CliRunner().invoke, build(), arguments)
        assert result.exit_code == 1, result.output
        return json.loads(result.stdout)["error"]["name"], 422

    async def probe(self, collection: str) -> tuple[str, int]:
        """Return the error of a release that is asked whatever its weight."""
        [release] = (await self.client.status()).releases
        asked = ProbeSearch(
            text="otters",
            collection=collection,
            release=release.name,
            release_hash=release.hash,
        )
        return await refusal(self.client.probe_search(asked))

    def rows(self) -> str:
        """Return a file to ingest."""
        path = self.folder / "rows.jsonl"
        path.write_text('{"id": "1", "text": "One otter."}\n{"id": "2", "text": "Two otters."}\n')
        return str(path)

    @property
    def connection(self) -> NatsClient:
        """Of the client."""
        return self.client.connection


async def refusal(call: Awaitable[object]) -> tuple[str, int]:
    with pytest.raises(RemoteError) as refused:
        await call
    return refused.value.error, refused.value.status


@pytest.fixture
async def place(
    deployment: Deployment, http: httpx.AsyncClient, client: Client, tmp_path: Path
) -> Place:
    key = uuid.uuid4().hex[:8]
    made = Place(deployment, http, client, f"foreign-{key}", f"narrow-{key}", tmp_path)
    sequence = 0
    for name, namespace, dimension in (
        (made.foreign, OTHER_SPACE, DIMENSION),
        (made.narrow, SPACE, DIMENSION // 2),
    ):
        # What a gateway writes whose release has another encoder.
        record = CollectionRecord(
            collection=name, namespace=namespace, component="other@1", dimension=dimension
        )
        ack = await client.connection.jetstream().publish(
            subjects.collection_record(name),
            encode(record),
            stream=subjects.DOCS_STREAM,
            headers={ENTRY: Entry.COLLECTION.value},
        )
        sequence = ack.seq
    await client.wait_searchable(sequence)
    return made


change = msgspec.structs.replace
NARROW = unit(1, DIMENSION // 2)
WINDOW = Matrix.of(np.repeat(NARROW.array(), 2, axis=0))
RETRIEVE_AT, SCORE_AT = subjects.retrieve("hybrid@1"), subjects.score("hybrid@1")
MAP_AT, ENCODE_AT = subjects.mapping("safety-head@1"), subjects.encode("minilm-int8@1")
NARROW_TOKENS = TokenVectors(matrix=Matrix.of(np.ones((2, 3), dtype=np.int8)), counts=[2])

Door = Callable[[Place], Awaitable[tuple[str, int]]]

NAMESPACE: dict[str, Door] = {
    "search over HTTP": lambda p: p.post("/v1/search", {"text": "otters", "collection": p.foreign}),
    "search over NATS": lambda p: refusal(p.client.search("otters", collection=p.foreign)),
    "search on the command line": lambda p: p.run("search", "otters", "--collection", p.foreign),
    "search as an operator's probe": lambda p: p.probe(p.foreign),
    "put over HTTP": lambda p: p.post(
        "/v1/documents",
        {"collection": p.foreign, "documents": [{"id": "1", "text": "One otter."}]},
    ),
    "put over NATS": lambda p: refusal(p.client.put_documents(p.foreign, [OTP])),
    "ingest on the command line": lambda p: p.run("ingest", p.rows(), "--collection", p.foreign),
    "retrieve": lambda p: p.ask(
        RETRIEVE_AT, change(RETRIEVE, namespace=OTHER_SPACE), RetrieveReply
    ),
}
DIMENSIONS: dict[str, Door] = {
    "search over HTTP": lambda p: p.post("/v1/search", {"text": "otters", "collection": p.narrow}),
    "search over NATS": lambda p: refusal(p.client.search("otters", collection=p.narrow)),
    "search on the command line": lambda p: p.run("search", "otters", "--collection", p.narrow),
    "put over HTTP": lambda p: p.post(
        "/v1/documents",
        {"collection": p.narrow, "documents": [{"id": "1", "text": "One otter."}]},
    ),
    "put over NATS": lambda p: refusal(p.client.put_documents(p.narrow, [OTP])),
    "ingest on the command line": lambda p: p.run("ingest", p.rows(), "--collection", p.narrow),
    "embeddings": lambda p: p.post(
        "/v1/embeddings", {"model": SPACE, "input": "otters", "dimensions": 128}
    ),
    "retrieve, the query's vector": lambda p: p.ask(
        RETRIEVE_AT, change(RETRIEVE, vector=NARROW), RetrieveReply
    ),
    "retrieve, its token vectors": lambda p: p.ask(
        RETRIEVE_AT, change(RETRIEVE, tokens=NARROW_TOKENS), RetrieveReply
    ),
    "retrieve, the window of a query model": lambda p: p.ask(
        RETRIEVE_AT, change(RETRIEVE, window=WINDOW, impl="mean"), RetrieveReply
    ),
    "retrieve, the session's vectors": lambda p: p.ask(
        RETRIEVE_AT, change(RETRIEVE, session=WINDOW), RetrieveReply
    ),
    "score, the documents' vectors": lambda p: p.ask(
        SCORE_AT, change(SCORE, document_vectors=WINDOW), ScoreReply
    ),
    "score, the query's vector": lambda p: p.ask(
        SCORE_AT, change(SCORE, vector=NARROW), ScoreReply
    ),
    "map": lambda p: p.ask(MAP_AT, change(MAP, vectors=NARROW), MapReply),
}


@pytest.mark.parametrize("door", NAMESPACE)
async def test_another_namespace_is_a_typed_error_at_every_door(place: Place, door: str) -> None:
    assert await NAMESPACE[door](place) == ("NamespaceMismatch", 422)


@pytest.mark.parametrize("door", DIMENSIONS)
async def test_another_dimension_is_a_typed_error_at_every_door(place: Place, door: str) -> None:
    assert await DIMENSIONS[door](place) == ("DimensionMismatch", 422)


async def test_a_namespace_that_no_encoder_serves_is_unknown(place: Place) -> None:
    error = await place.ask(ENCODE_AT, change(ENCODE, namespace=OTHER_SPACE), EncodeReply)

    assert error == ("UnknownNamespace", 404)


async def test_nothing_was_stored_at_any_of_the_doors(place: Place) -> None:
    for collection in (place.foreign, place.narrow):
        await refusal(place.client.put_documents(collection, [OTP]))
        with pytest.raises(RemoteError, match="no passage"):
            await place.client.get_document(collection, OTP.id)


async def test_the_first_ingest_fixes_the_space_and_two_at_once_agree(place: Place) -> None:
    name = f"new-{uuid.uuid4().hex[:8]}"
    puts: list[Awaitable[Any]] = [
        place.client.put_documents(name, [Document(id=str(n), text=f"Otter {n}.")])
        for n in range(6)
    ]
    await asyncio.gather(*puts)

    js = place.connection.jetstream()
    message = await js.get_last_msg(subjects.DOCS_STREAM, subjects.collection_record(name))
    record = msgspec.msgpack.decode(message.data or b"", type=CollectionRecord)

    assert (record.namespace, record.dimension) == (SPACE, DIMENSION)
    info = await js.stream_info(
        subjects.DOCS_STREAM, subjects_filter=subjects.collection_record(name)
    )
    assert info.state.subjects == {subjects.collection_record(name): 1}


@pytest.mark.parametrize("namespace", [SPACE, OTHER_SPACE])
async def test_a_collection_older_than_records_gets_the_one_of_its_passages(
    place: Place, namespace: str
) -> None:
    name = f"old-{uuid.uuid4().hex[:8]}"
    js = place.connection.jetstream()
    passage = IndexedPassage(
        collection=name,
        namespace=namespace,
        component="minilm-int8@1",
        document=Document(id="0", text="An old otter."),
        content_hash="0" * 64,
        vector=unit(),
        tokens=None,
    )
    await js.publish(
        subjects.document(name, "ab" * 16), encode(passage), stream=subjects.DOCS_STREAM
    )

    if namespace == SPACE:
        assert (await place.client.put_documents(name, [OTP])).new == 1
    else:
        refused = await refusal(place.client.put_documents(name, [OTP]))
        assert refused == ("NamespaceMismatch", 422)

    message = await js.get_last_msg(subjects.DOCS_STREAM, subjects.collection_record(name))
    record = msgspec.msgpack.decode(message.data or b"", type=CollectionRecord)
    assert (record.namespace, record.dimension) == (namespace, DIMENSION)
