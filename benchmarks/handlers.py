"""The services' own handlers in one process: queue, threads, cache and metrics included, the bus left out.

Between the bare components and the deployment it says which part of the added time is the services'
and which is the bus's.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.inprocess import LIMIT, POOL, REPLY_BYTES, Files, Reranking, Retrieving
from services.encoder.cache import TextCache
from services.encoder.component import open_component
from services.encoder.encoding import Encoder
from services.retriever.lanes import Lanes
from services.retriever.search import retrieve
from trimtab.contracts.encode import EncodeRequest
from trimtab.contracts.headers import RequestContext, now_ms
from trimtab.contracts.retrieve import PUBLIC_TENANT, RetrieveRequest
from trimtab.worker.sampler import Identity, Sampler

_BUDGET_MS = 30_000


@dataclass(frozen=True, slots=True)
class Handlers:
    """The three stages as their services run them."""

    encoder: Encoder
    lanes: Lanes
    retrieving: Retrieving
    reranking: Reranking
    collection: str

    async def search(self, text: str) -> list[str]:
        """Return the ids of the best passages."""
        context = RequestContext("bench", PUBLIC_TENANT, now_ms() + _BUDGET_MS)
        namespace = self.encoder.backend.namespace
        encoded = await self.encoder.encode(
            EncodeRequest(namespace=namespace, texts=[text], tokens=True), context
        )
        request = RetrieveRequest(
            collection=self.collection,
            namespace=namespace,
            text=text,
            vector=encoded.vectors,
            tokens=encoded.tokens,
            limit=POOL,
        )
        part = self.retrieving
        found = await self.lanes.search(
            retrieve, part.edition, request, PUBLIC_TENANT, part.stem, REPLY_BYTES
        )
        assert found.reply.signals is not None  # the corpus is not empty
        order = self.reranking.reply(found.reply.signals).order
        return [found.reply.hits[position].id for position in order[:LIMIT]]


@contextlib.asynccontextmanager
async def opened(files: Files) -> AsyncIterator[Handlers]:
    """Load the stages, run their threads until the block ends; the cache keeps nothing."""
    sampler = Sampler(Identity("encoder", "bench", "0", time.time()))
    backend = await asyncio.to_thread(open_component, Path(files.encoder))
    encoder = Encoder("bench@1", "", backend, TextCache(0, 0), sampler)
    encoder.batcher.start()
    lanes = Lanes()
    retrieving = await lanes.search(Retrieving.load, files)
    try:
        yield Handlers(encoder, lanes, retrieving, Reranking.load(files), files.collection)
    finally:
        await encoder.batcher.stop()
        lanes.close()
