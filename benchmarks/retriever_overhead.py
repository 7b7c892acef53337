"""The retriever service against a bare ``index.search``: ``python -m benchmarks.retriever_overhead --passages 100000``.

A retriever process over a real nats-server answers the queries that faiss answers here from the very index
file that process wrote, in turns. Collections are synthetic: ``benchmarks/retriever_data.py`` says how.
"""

import argparse
import asyncio
import contextlib
import itertools
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import faiss as typed_faiss
import numpy as np
import uvloop
from nats.aio.client import Client as NatsClient
from numpy.typing import NDArray

from benchmarks import arguments, report
from benchmarks import retriever_data as data
from benchmarks.figure import AT_MOST, Aim, Figure, over_rounds
from benchmarks.processes import assert_alive, child
from benchmarks.rounds import Call, Plan, Timings, alternate
from services.retriever.dense.snapshot import INDEX, newest
from services.retriever.passages.loading import snapshots_of
from services.retriever.plan import SHIPPED, load_plan
from trimtab.bus.caller import Caller
from trimtab.bus.connection import connect
from trimtab.bus.ending import close
from trimtab.bus.local_server import LocalServer
from trimtab.bus.streams import docs_stream, ensure
from trimtab.contracts import subjects
from trimtab.contracts.errors import NoWorkers
from trimtab.contracts.headers import RequestContext, now_ms
from trimtab.contracts.message import decode, encode
from trimtab.contracts.retrieve import RetrieveReply, RetrieveRequest
from trimtab.contracts.samples import HealthRequest, Sample
from trimtab.contracts.tensor import Matrix

faiss: Any = typed_faiss

RETRIEVER = "hybrid@1"
SUBJECT = subjects.retrieve(RETRIEVER)
INSTANCE = "retriever-bench"
LIMIT, NPROBE, TOGETHER = 50, 8, 32
QUERIES = 512
RECALL_QUERIES = 200

_NAMES = {
    "bare": "bare index.search",
    "dense": "service, vector only",
    "hybrid": "service, vector and words",
    "late": "service, vector, words and token vectors",
}
_PARTS = ("dense", "lexical", "passages", "signals")


@dataclass(frozen=True, slots=True)
class Client:
    """Asks the service, one query after another, in a circle."""

    caller: Caller
    made: data.Synthetic

    def calls(self, *, words: bool, tokens: bool) -> Call:
        """Return a call that asks the next query each time."""
        numbers = itertools.cycle(range(len(self.made.queries)))

        async def call() -> None:
            await self.ask(next(numbers), words=words, tokens=tokens)

        return call

    async def ask(self, number: int, *, words: bool = False, tokens: bool = False) -> list[str]:
        """Ask one query and return the ids found."""
        request = RetrieveRequest(
            collection=data.COLLECTION,
            namespace=data.NAMESPACE,
            text=self.made.questions[number] if words else "",
            vector=Matrix.of(self.made.queries[number : number + 1]),
            tokens=self.made.query_tokens[number] if tokens else None,
            limit=LIMIT,
            nprobe=NPROBE,
        )
        context = RequestContext("b" * 32, "public", now_ms() + 60_000)
        answer = await self.caller.call(SUBJECT, request, RetrieveReply, context)
        return [hit.id for hit in answer.message.hits]

    async def until_answered(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        """Wait until the service answers."""
        while True:
            assert_alive(process, log)
            try:
                await self.ask(0)
            except NoWorkers:
                await asyncio.sleep(0.1)
            else:
                return


def bare_calls(index: Any, queries: NDArray[np.float32]) -> Call:
    """Return a call that searches with faiss alone, in this process, on one thread."""
    numbers = itertools.cycle(range(len(queries)))
    parameters = faiss.SearchParametersIVF(nprobe=NPROBE) if hasattr(index, "nlist") else None

    async def call() -> None:
        number = next(numbers)
        index.search(queries[number : number + 1], LIMIT, params=parameters)

    return call


async def same_index(state: Path, vectors: NDArray[np.float32]) -> Any:
    """Return the index that the service searches: the file that it wrote, or FLAT while it is small."""
    plan, manifest = load_plan(SHIPPED / RETRIEVER)
    if len(vectors) < plan.dense.flat_below:
        flat = faiss.IndexFlatIP(vectors.shape[1])
        flat.add(vectors)
        return flat
    folder = snapshots_of(state, data.COLLECTION, manifest.reference)
    while newest(folder) is None:  # noqa: ASYNC110 - another process writes it
        await asyncio.sleep(0.2)
    return await asyncio.to_thread(faiss.read_index, str((newest(folder) or folder) / INDEX))


async def recall(client: Client) -> float:
    """Return recall@10 of the service, by vector alone, against exact search over all vectors."""
    asked = client.made.queries[:RECALL_QUERIES]
    _, truth = await asyncio.to_thread(
        faiss.knn, asked, client.made.vectors, 10, faiss.METRIC_INNER_PRODUCT
    )
    shared = 0
    for number, slots in enumerate(truth.tolist()):
        found = await client.ask(number)
        shared += len({f"p{slot}" for slot in slots} & set(found[:10]))
    return shared / float(truth.size)


def figures(
    size: str, single: list[dict[str, Timings]], together: list[dict[str, Timings]]
) -> list[Figure]:
    """Return the table's lines of one size."""
    n = sum(len(timings["bare"].latencies_ms) for timings in single)
    lines = []
    for kind, name in _NAMES.items():
        if kind not in single[0]:
            continue
        added = [r[kind].p50_ms - r["bare"].p50_ms for r in single]
        p50, p95 = [r[kind].p50_ms for r in single], [r[kind].p95_ms for r in single]
        ours = kind != "bare"
        if ours:
            aim = Aim(AT_MOST, 0.8)
            lines.append(over_rounds(f"{size}: p50 added, {name}", "ms", added, n=n, aim=aim))
        lines.append(over_rounds(f"{size}: p50 {name}", "ms", p50, n=n))
        aim3 = Aim(AT_MOST, 3.0) if ours else None
        lines.append(over_rounds(f"{size}: p95 {name}", "ms", p95, n=n, aim=aim3))
    rate = [r["hybrid"].per_second for r in together]
    n = sum(len(r["hybrid"].latencies_ms) for r in together)
    name = f"{size}: {_NAMES['hybrid']}, {TOGETHER} at once"
    lines.append(over_rounds(name, "searches/s", rate, n=n))
    return lines


async def parts(connection: NatsClient) -> tuple[str, float]:
    """Return where a search's time goes by the service's own histogram, and its resident MiB."""
    reply = await connection.request(subjects.HEALTH, encode(HealthRequest()), timeout=5)
    sample = decode(Sample, reply.data)
    url = f"http://127.0.0.1:{sample.facts['http_port']}/metrics"
    text = await asyncio.to_thread(_fetch, url)
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[:1] not in ("", "#"))

    def mean_ms(part: str) -> float:
        name, label = "retriever_search_duration_seconds", f'{{part="{part}"}}'
        return 1000 * float(values[f"{name}_sum{label}"]) / float(values[f"{name}_count{label}"])

    said = ", ".join(f"{part} {mean_ms(part):.3f} ms" for part in _PARTS)
    return said, sample.rss_bytes / 2**20


async def measure(
    folder: Path, server: LocalServer, passages: int, tokens: int, plan: Plan
) -> tuple[list[Figure], list[str]]:
    """Measure one size; returns the table's lines and what must be known to read them."""
    # What takes long runs in a thread: a loop that is late to a ping loses its connection.
    size, made = (
        f"{passages:,} x {data.DIMENSION}",
        await asyncio.to_thread(data.make, passages, QUERIES),
    )
    connection = await connect(server.url, "bench")
    js = connection.jetstream(timeout=10)
    await ensure(js, docs_stream())
    created = (await js.stream_info(subjects.DOCS_STREAM)).created
    state = folder / "retriever" / INSTANCE
    loading = time.perf_counter()
    stream = created.isoformat() if created else ""
    await asyncio.to_thread(data.load, state, stream, made.vectors, tokens)
    rate = passages / (time.perf_counter() - loading)
    client, log = Client(Caller(connection), made), folder / "retriever.log"
    environment = {
        "TRIMTAB_NATS_URL": server.url,
        "TRIMTAB_HOME": str(folder),
        "TRIMTAB_LOG_LEVEL": "warning",
        "RETRIEVER_INSTANCE": INSTANCE,
    }
    starting = time.perf_counter()
    with child(log, "-m", "services.retriever", environment=environment) as process:
        await client.until_answered(process, log)
        start_s = time.perf_counter() - starting
        index = await same_index(state, made.vectors)
        calls = {
            "bare": bare_calls(index, made.queries),
            "dense": client.calls(words=False, tokens=False),
            "hybrid": client.calls(words=True, tokens=False),
        }
        if tokens:
            calls["late"] = client.calls(words=True, tokens=True)
        single = await alternate(calls, plan)
        together = await alternate(
            {"hybrid": calls["hybrid"]}, replace(plan, concurrency=TOGETHER, block=plan.requests)
        )
        shares, resident = await parts(connection)
        found = await recall(client)
    await close(connection)
    kind = f"IVF, {index.nlist} lists, nprobe {NPROBE}" if hasattr(index, "nlist") else "FLAT"
    lines = figures(size, single, together)
    lines.append(over_rounds(f"{size}: recall@10 against FLAT", "", [found], n=RECALL_QUERIES))
    notes = [
        f"{size}: {kind}; {tokens} token vectors per passage; bulk load {rate:,.0f} passages/s; "
        f"start with training and BM25 {start_s:.1f} s; resident {resident:,.0f} MiB.",
        f"{size}: mean inside the service over all searches: {shares}.",
    ]
    return lines, notes


def _fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        text: str = answer.read().decode()
    return text


def main() -> None:
    """Run the benchmark for each size and print its table."""
    own = argparse.ArgumentParser(add_help=False)
    own.add_argument("--passages", type=int, nargs="+", default=[100_000])
    own.add_argument("--tokens", type=int, default=0)
    chosen, rest = own.parse_known_args(sys.argv[1:])
    given = arguments.read("retriever_overhead", __doc__, rounds=5, requests=500, argv=rest)
    facts = report.begin("retriever_overhead")
    faiss.omp_set_num_threads(1)
    lines: list[Figure] = []
    notes: list[str] = []
    for passages in chosen.passages:
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            server = LocalServer(folder / "nats")
            server.start()
            stack.callback(server.stop)
            plan = Plan(given.rounds, given.requests)
            measured = measure(folder, server, passages, chosen.tokens, plan)
            found, said = uvloop.run(measured)
            lines += found
            notes += said
    typed = " ".join(arguments.without_json(sys.argv[1:]))
    command = f"python -m benchmarks.retriever_overhead {typed}".rstrip()
    report.show(
        report.Report(
            benchmark="retriever_overhead",
            command=command,
            machine=facts,
            figures=lines,
            notes=notes,
        ),
        given.json,
    )


if __name__ == "__main__":
    main()
