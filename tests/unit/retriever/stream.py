"""What the gateway writes into the stream of passages, and what a caller asks, for tests on a real server."""

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from nats.aio.client import Client as NatsClient
from numpy.typing import NDArray

from services.retriever.app import build
from services.retriever.passages.feed import FeedMessage
from services.retriever.plan import FILE, SHIPPED, Plan
from services.retriever.settings import RetrieverSettings
from tests.unit.retriever.corpora import COMPONENT, DIMENSION, NAMESPACE
from tests.workers import deployment
from trimtab.artifacts.manifest import write_manifest
from trimtab.bus.caller import Answer, Caller
from trimtab.bus.local_server import LocalServer
from trimtab.bus.streams import docs_stream, ensure
from trimtab.contracts import subjects
from trimtab.contracts.documents import (
    CollectionRecord,
    Document,
    Entry,
    IndexedPassage,
    RemovedPassage,
)
from trimtab.contracts.encode import TokenVectors
from trimtab.contracts.headers import ENTRY, RequestContext, now_ms
from trimtab.contracts.message import encode
from trimtab.contracts.retrieve import RetrieveReply, RetrieveRequest
from trimtab.contracts.sparse import SparseVectors
from trimtab.contracts.tensor import Matrix
from trimtab.worker.service import Worker

RETRIEVE = subjects.retrieve("hybrid@1")


def context(tenant: str = "public", timeout_s: float = 5.0) -> RequestContext:
    return RequestContext("r1", tenant, now_ms() + int(1000 * timeout_s))


def message(
    name: str,
    vector: NDArray[np.float32],
    *,
    text: str = "",
    tenant: str = "public",
    collection: str = "docs",
    tokens: NDArray[np.int8] | None = None,
    namespace: str = NAMESPACE,
    sparse: SparseVectors | None = None,
) -> IndexedPassage:
    document = Document(id=name, text=text or f"words of {name}", tenant=tenant)
    return IndexedPassage(
        collection=collection,
        namespace=namespace,
        component=COMPONENT,
        document=document,
        content_hash=hashlib.sha256(f"{document}{vector.tobytes()!r}".encode()).hexdigest(),
        vector=Matrix.of(vector.reshape(1, -1)),
        tokens=None
        if tokens is None
        else TokenVectors(matrix=Matrix.of(tokens), counts=[len(tokens)]),
        sparse=sparse,
    )


def gone(name: str, *, tenant: str = "public", collection: str = "docs") -> RemovedPassage:
    return RemovedPassage(collection=collection, tenant=tenant, id=name)


def record(
    *, collection: str = "docs", namespace: str = NAMESPACE, dimension: int = DIMENSION
) -> CollectionRecord:
    return CollectionRecord(
        collection=collection, namespace=namespace, component=COMPONENT, dimension=dimension
    )


Entries = Sequence[IndexedPassage | RemovedPassage | CollectionRecord]


async def write(connection: NatsClient, entries: Entries) -> int:
    """Write passages, removals and records as the gateway does; return the last stream sequence."""
    js = connection.jetstream(timeout=10)
    await ensure(js, docs_stream())
    last = 0
    for each in entries:
        headers = {ENTRY: entry_of(each).value}
        ack = await js.publish(
            _subject(each), encode(each), stream=subjects.DOCS_STREAM, headers=headers
        )
        last = ack.seq
    return last


def entry_of(each: IndexedPassage | RemovedPassage | CollectionRecord) -> Entry:
    match each:
        case IndexedPassage():
            return Entry.PASSAGE
        case RemovedPassage():
            return Entry.REMOVED
        case CollectionRecord():
            return Entry.COLLECTION


def feed_messages(entries: Entries, start: int = 1) -> list[FeedMessage]:
    """Return what the feed makes of the same, from a sequence on."""
    return [
        FeedMessage(start + number, encode(each), entry_of(each))
        for number, each in enumerate(entries)
    ]


def _subject(each: IndexedPassage | RemovedPassage | CollectionRecord) -> str:
    match each:
        case IndexedPassage():
            return _key(each.collection, each.document.tenant, each.document.id)
        case RemovedPassage():
            return _key(each.collection, each.tenant, each.id)
        case CollectionRecord():
            return subjects.collection_record(each.collection)


def _key(collection: str, tenant: str, name: str) -> str:
    digest = hashlib.sha256(f"{tenant}\0{name}".encode()).hexdigest()
    return subjects.document(collection, digest[:32])


async def ask(
    connection: NatsClient,
    vector: NDArray[np.float32],
    *,
    text: str = "",
    tenant: str = "public",
    collection: str = "docs",
    namespace: str = NAMESPACE,
    limit: int = 10,
    subject: str = RETRIEVE,
) -> Answer[RetrieveReply]:
    request = RetrieveRequest(
        collection=collection,
        namespace=namespace,
        text=text,
        vector=Matrix.of(vector.reshape(1, -1)),
        limit=limit,
    )
    return await Caller(connection).call(subject, request, RetrieveReply, context(tenant))


async def found(
    connection: NatsClient, vector: NDArray[np.float32], *, text: str = "", limit: int = 10
) -> list[str]:
    reply = (await ask(connection, vector, text=text, limit=limit)).message
    return [hit.id for hit in reply.hits]


async def applied(worker: Worker, sequence: int, *, timeout_s: float = 20.0) -> None:
    """Wait until a worker says that it applied the stream up to ``sequence``."""
    async with asyncio.timeout(timeout_s):
        while int(worker.identity.facts.get("applied_sequence", 0)) < sequence:
            await asyncio.sleep(0.01)


def worker(
    server: LocalServer,
    home: Path,
    instance: str = "retriever-1",
    shipped: Path = SHIPPED,
    query_models: str = "",
) -> Worker:
    settings = RetrieverSettings(instance=instance, shipped=shipped, query_models=query_models)
    return build(deployment(server, home), settings)


def component(folder: Path, plan: Plan, version: str = "1") -> Path:
    """Write ``plan`` as ``hybrid@version`` below ``folder`` and return it: what is given as shipped."""
    made = folder / f"hybrid@{version}"
    made.mkdir(parents=True)
    (made / FILE).write_bytes(msgspec.json.encode(plan))
    write_manifest(made, name="hybrid", version=version, kind="retriever")
    return folder
