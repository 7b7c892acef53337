"""The ways of one search: in process, over NATS, over HTTP, and with raw echoes for its hops."""

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
from nats.aio.client import Client as NatsClient

from benchmarks import fleet
from benchmarks.bus_hop import until_answered
from benchmarks.hop_responder import raw_subject
from benchmarks.http_load import HttpConnections
from benchmarks.inprocess import Files, Search
from benchmarks.processes import child
from benchmarks.questions import cycle
from benchmarks.rounds import Call
from services.retriever.dense.flat import use_one_thread
from trimtab.client import Client
from trimtab.contracts.pipeline import SearchReply, SearchRequest
from trimtab.control.store import ControlStore

HOPS = ("gateway", "encoder", "retriever", "reranker")
"""Who a search over NATS asks, one after another."""

ECHOED = bytes(4096)
"""About what a message of a search holds."""

TIMEOUT_S = 30.0


class Disagreement(RuntimeError):
    """Two ways of the same search found other passages: the comparison would mean nothing."""


@dataclass
class Local:
    """The components in this process: one set for the loop's thread, one per core for the crowd."""

    files: Files
    alone: Search
    pool: ThreadPoolExecutor
    threads: threading.local

    @classmethod
    async def open(cls, files: Files) -> "Local":
        """Load one set, beside the loop: a loop that stands still for seconds loses its connection."""
        alone = await asyncio.to_thread(Search, files)
        use_one_thread()
        cores = len(os.sched_getaffinity(0))
        return cls(files, alone, ThreadPoolExecutor(cores), threading.local())

    def search(self, text: str) -> list[str]:
        """Search in the loop's thread."""
        return self.alone.search(text)

    async def search_beside(self, text: str) -> list[str]:
        """Search in one of the threads; each loads its set at its first search."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, self._in_thread, text)

    def _in_thread(self, text: str) -> list[str]:
        if not hasattr(self.threads, "search"):
            self.threads.search = Search(self.files)
        found: list[str] = self.threads.search.search(text)
        return found


@dataclass
class Ways:
    """The three ways of one search."""

    local: Local
    client: Client
    http: HttpConnections

    async def over_nats(self, text: str) -> SearchReply:
        """Ask the gateway over the bus."""
        return await self.client.search(text, timeout_s=TIMEOUT_S)

    async def over_http(self, text: str) -> SearchReply:
        """Ask the gateway over HTTP."""
        body = msgspec.json.encode(SearchRequest(text=text))
        return msgspec.json.decode(await self.http.post("/v1/search", body), type=SearchReply)

    def calls(self, texts: list[str], *, beside: bool) -> dict[str, Call]:
        """Return one call per way; ``beside`` runs the local one in the threads."""
        given = {way: cycle(texts[start::3]) for start, way in enumerate(("local", "nats", "http"))}

        async def local() -> None:
            text = next(given["local"])
            if beside:
                await self.local.search_beside(text)
            else:
                self.local.search(text)

        async def nats() -> None:
            _complete(await self.over_nats(next(given["nats"])))

        async def http() -> None:
            _complete(await self.over_http(next(given["http"])))

        return {"local": local, "nats": nats, "http": http}

    async def agree(self, texts: list[str]) -> None:
        """Check that all ways find the same passages in the same order.

        Raises:
            Disagreement: they do not.
        """
        for text in texts:
            expected = self.local.search(text)
            for reply in (await self.over_nats(text), await self.over_http(text)):
                if [result.id for result in reply.results] != expected:
                    raise Disagreement("a search over the bus found other passages than in process")


def _complete(reply: SearchReply) -> None:
    if reply.degraded:
        raise Disagreement(f"a search was answered without a stage: {reply.degraded}")


@dataclass
class Echoes:
    """The components in this process, each call preceded by a raw echo: the floor of four hops."""

    alone: Search
    connection: NatsClient

    async def ask(self, hop: str) -> None:
        """Send a message of a search's size to one process and get it back."""
        await self.connection.request(raw_subject(f"raw:{hop}"), ECHOED, timeout=TIMEOUT_S)

    async def search(self, text: str) -> None:
        """Search in this process, asking as often as a search over NATS does."""
        await self.ask("gateway")
        await self.ask("encoder")
        request = self.alone.encoding.request(text, self.alone.files.collection)
        await self.ask("retriever")
        found = self.alone.retrieving.reply(request)
        await self.ask("reranker")
        assert found.signals is not None  # the corpus is not empty
        self.alone.reranking.reply(found.signals)


@contextlib.asynccontextmanager
async def echoing(opened: Ways, running: fleet.Fleet, scratch: Path) -> AsyncIterator[Echoes]:
    """Run one raw nats-py echo process per hop of a search."""
    async with contextlib.AsyncExitStack() as stack:
        for hop in HOPS:
            command = ("-m", "benchmarks.hop_responder", f"raw:{hop}", running.nats_url)
            stack.enter_context(child(scratch / "echo.log", *command))
        echoes = Echoes(opened.local.alone, opened.client.connection)
        for hop in HOPS:
            await until_answered(partial(echoes.ask, hop))
        yield echoes


@contextlib.asynccontextmanager
async def ways(running: fleet.Fleet, scratch: Path) -> AsyncIterator[Ways]:
    """Open all three ways into a running deployment."""
    async with (
        Client.connect(running.nats_url, name="bench") as client,
        HttpConnections(running.http_url) as http,
    ):
        release = (await (await ControlStore.open(client.connection)).read()).release
        files = Files.of(running.home, release, scratch / "passages.db")
        yield Ways(await Local.open(files), client, http)
