"""Our retriever and reranker as processes over a real nats-server, holding one synthetic collection."""

import asyncio
import contextlib
import itertools
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import retriever_data as data
from benchmarks.machine import resident_bytes
from benchmarks.processes import assert_alive, child
from benchmarks.retriever_parts import metrics_url, spent
from benchmarks.search_contender import emptied
from benchmarks.search_sample import Sample
from benchmarks.search_tuning import KEPT, recall
from services.reranker.settings import RerankerSettings
from services.retriever.dense.snapshot import newest
from services.retriever.passages.loading import snapshots_of
from services.retriever.plan import SHIPPED, Plan, load_plan
from services.retriever.settings import RetrieverSettings
from trimtab.bus.caller import Caller
from trimtab.bus.connection import connect
from trimtab.bus.ending import close
from trimtab.bus.local_server import LocalServer
from trimtab.bus.streams import docs_stream, ensure
from trimtab.contracts import subjects
from trimtab.contracts.errors import NoWorkers
from trimtab.contracts.headers import RequestContext, now_ms
from trimtab.contracts.rerank import RerankReply, RerankRequest
from trimtab.contracts.retrieve import RetrieveReply, RetrieveRequest
from trimtab.contracts.tensor import Matrix

RETRIEVER: str = RetrieverSettings.model_fields["component"].default
RERANKER: str = RerankerSettings.model_fields["components"].default[0]

_INSTANCE = "retriever-bench"
_LOADED = "loaded"
_LAST_ANSWER_MS = 60_000


def shipped_plan() -> Plan:
    """Return what the shipped component says."""
    return load_plan(SHIPPED / RETRIEVER)[0]


@dataclass
class Service:
    """Both services, and how to ask them."""

    caller: Caller
    sample: Sample
    limit: int
    """Candidates in a reply: the reranker's pool."""
    load_s: float = 0.0
    """Writing the passages into the retriever's store, past the bus."""
    start_s: float = 0.0
    """From the retriever's start until it answers: reading, training unless an earlier run did, BM25."""
    pids: tuple[int, int] = (0, 0)
    """Retriever, reranker."""
    metrics_url: str = ""
    """The retriever's."""
    reranking_ms: list[float] = field(default_factory=list)
    """What each request to the reranker took, in order."""

    def by_vector(self, nprobe: int) -> Callable[[], Awaitable[object]]:
        """Return a call that searches by vector alone, each time for the next measured query."""
        numbers = itertools.cycle(self.sample.measured)
        return lambda: self.retrieve(next(numbers), nprobe, words=False)

    def by_everything(self, nprobe: int) -> Callable[[], Awaitable[object]]:
        """Return a call as the gateway makes it: vector, words, and token vectors where there are any."""
        numbers = itertools.cycle(self.sample.measured)
        return lambda: self.retrieve(next(numbers), nprobe, words=True)

    def reranked(self, nprobe: int) -> Callable[[], Awaitable[object]]:
        """Return a call that has the candidates of such a search reranked too."""
        numbers = itertools.cycle(self.sample.measured)

        async def call() -> None:
            found = await self.retrieve(next(numbers), nprobe, words=True)
            assert found.signals is not None
            started = time.perf_counter_ns()
            request = RerankRequest(signals=found.signals)
            await self.caller.call(subjects.rerank(RERANKER), request, RerankReply, _context())
            self.reranking_ms.append((time.perf_counter_ns() - started) / 1e6)

        return call

    async def retrieve(self, number: int, nprobe: int, *, words: bool) -> RetrieveReply:
        """Ask one query."""
        made, tokens = self.sample.made, words and bool(self.sample.size.tokens)
        request = RetrieveRequest(
            collection=data.COLLECTION,
            namespace=data.namespace_of(self.sample.size.dimension),
            text=made.questions[number] if words else "",
            vector=Matrix.of(made.queries[number : number + 1]),
            tokens=made.query_tokens[number] if tokens else None,
            limit=self.limit,
            nprobe=nprobe,
        )
        subject = subjects.retrieve(RETRIEVER)
        return (await self.caller.call(subject, request, RetrieveReply, _context())).message

    async def parts(self, call: Callable[[], Awaitable[object]], times: int) -> dict[str, float]:
        """Return the mean time of each part of a search inside the retriever, in ms, over so many calls."""
        before = await spent(self.metrics_url)
        for _ in range(times):
            await call()
        return (await spent(self.metrics_url)).since(before)

    async def recall(self, numbers: list[int], nprobe: int) -> float:
        """Return recall@10 of searches by vector alone."""
        found = []
        for number in numbers:
            reply = await self.retrieve(number, nprobe, words=False)
            found.append([int(hit.id.removeprefix("p")) for hit in reply.hits[:KEPT]])
        return recall(found, self.sample.truth_of(numbers))

    def resident_mib(self) -> list[float]:
        """Return the resident memory of retriever and reranker."""
        return [resident_bytes(pid) / 2**20 for pid in self.pids]


@contextlib.asynccontextmanager
async def running(sample: Sample, folder: Path, limit: int) -> AsyncIterator[Service]:
    """Load the collection and run both services until the block ends; enters when all indexes are made.

    What an earlier run loaded and indexed below ``folder`` is taken.

    Raises:
        ChildFailed: a service ended too early.
    """
    loaded = folder / _LOADED
    if not loaded.exists():
        await asyncio.to_thread(emptied, folder)
    server = LocalServer(folder / "nats")
    server.start()
    try:
        connection = await connect(server.url, "bench")
        try:
            service = Service(Caller(connection), sample, limit)
            state = folder / "retriever" / _INSTANCE
            if not loaded.exists():
                js = connection.jetstream(timeout=10)
                await ensure(js, docs_stream())
                created = (await js.stream_info(subjects.DOCS_STREAM)).created
                started = time.perf_counter()
                await asyncio.to_thread(
                    data.load,
                    state,
                    created.isoformat() if created else "",
                    sample.made.vectors,
                    sample.size.tokens,
                )
                loaded.write_text(str(time.perf_counter() - started))
            service.load_s = float(loaded.read_text())
            async with _processes(service, server.url, folder, state):
                service.metrics_url = await metrics_url(connection)
                yield service
        finally:
            await close(connection)
    finally:
        server.stop()


@contextlib.asynccontextmanager
async def _processes(service: Service, url: str, folder: Path, state: Path) -> AsyncIterator[None]:
    environment = {
        "TRIMTAB_NATS_URL": url,
        "TRIMTAB_HOME": str(folder),
        "TRIMTAB_LOG_LEVEL": "warning",
        "RETRIEVER_INSTANCE": _INSTANCE,
    }
    started = time.perf_counter()
    logs = [folder / f"{name}.log" for name in ("retriever", "reranker")]
    with (
        child(logs[0], "-m", "services.retriever", environment=environment) as retriever,
        child(logs[1], "-m", "services.reranker", environment=environment) as reranker,
    ):
        service.pids = (retriever.pid, reranker.pid)
        nprobe = shipped_plan().dense.nprobe
        await _until(retriever, logs[0], lambda: service.retrieve(1, nprobe, words=True))
        service.start_s = time.perf_counter() - started
        await _until(reranker, logs[1], service.reranked(nprobe))
        service.reranking_ms.clear()
        await _until_saved(service.sample, state, retriever, logs[0])
        yield


async def _until(
    process: "subprocess.Popen[bytes]", log: Path, call: Callable[[], Awaitable[object]]
) -> None:
    while True:
        assert_alive(process, log)
        try:
            await call()
        except NoWorkers:
            await asyncio.sleep(0.1)
        else:
            return


async def _until_saved(
    sample: Sample, state: Path, process: "subprocess.Popen[bytes]", log: Path
) -> None:
    """Wait until the index is on disk too: writing it would take a core from what is measured."""
    if sample.size.passages < shipped_plan().dense.flat_below:
        return
    folder = snapshots_of(state, data.COLLECTION, RETRIEVER)
    while newest(folder) is None:
        assert_alive(process, log)
        await asyncio.sleep(0.2)


def _context() -> RequestContext:
    return RequestContext("b" * 32, "public", now_ms() + _LAST_ANSWER_MS)
