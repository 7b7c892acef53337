"""One hop of our bus against a raw nats-py echo of the same body: ``python -m benchmarks.bus_hop``.

Client, server and answering process are three processes on one machine; one request at a time.
"""

import asyncio
import contextlib
import os
import subprocess
import tempfile
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import uvloop
from nats.errors import NoRespondersError
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from benchmarks import arguments, machine, report
from benchmarks.figure import AT_MOST, Aim, Figure, over_rounds
from benchmarks.hop_responder import KINDS, RAW, RAW_HEADERS, Blob, subject
from benchmarks.processes import assert_alive, child
from benchmarks.rounds import Call, Plan, Timings, alternate
from trimtab.bus.caller import Caller
from trimtab.bus.connection import connect
from trimtab.bus.local_server import LocalServer
from trimtab.contracts.errors import NoWorkers
from trimtab.contracts.headers import RequestContext, now_ms
from trimtab.contracts.message import encode
from trimtab.telemetry import traces

BODY = 1536
"""Bytes of data: one vector of 384 float32; 1.6 KB with what the bus adds."""
AIM = Aim(AT_MOST, 1.8)

_NAMES = {
    "raw": "raw nats-py echo, no headers",
    "headers": "raw nats-py echo with our headers",
    "silent": "our bus, metrics and samples off",
    "bus": "our bus as every service runs it",
    "traced": "our bus with OTLP tracing on, both sides",
}


def context() -> RequestContext:
    """Return what a request of the gateway carries."""
    return RequestContext("a" * 32, "public", now_ms() + 10_000, "base", 3, role="stable")


@contextlib.contextmanager
def responders(folder: Path, url: str, sink: str) -> Iterator[dict[str, "subprocess.Popen[bytes]"]]:
    """Run one answering process per variant."""
    with contextlib.ExitStack() as stack:
        found = {}
        for kind in ("raw", *KINDS):
            tracing = {traces.ENDPOINT: sink if kind == "traced" else ""}
            process = child(
                folder / f"{kind}.log",
                "-m",
                "benchmarks.hop_responder",
                kind,
                url,
                environment=tracing,
            )
            found[kind] = stack.enter_context(process)
        yield found


@contextlib.contextmanager
def collector(folder: Path) -> Iterator[str]:
    """Run the counting OTLP collector and return its address."""
    port = folder / "sink.port"
    with child(folder / "sink.log", "-m", "benchmarks.otlp_sink", str(port)) as process:
        while not (port.exists() and port.read_text()):
            assert_alive(process, folder / "sink.log")
        yield f"http://127.0.0.1:{port.read_text()}"


def exports(sink: str) -> int:
    """Return how many exports the collector took."""
    with urllib.request.urlopen(sink, timeout=5) as answer:
        return int(answer.read().split()[0])


async def variants(url: str) -> tuple[dict[str, Call], Callable[[], Awaitable[None]]]:
    """Return one call per variant over one connection, and how to close it."""
    connection = await connect(url, "bench")
    caller, blob = Caller(connection), Blob(data=os.urandom(BODY))
    body = encode(blob)

    async def raw() -> None:
        await connection.request(RAW, body, timeout=10)

    async def headers() -> None:
        await connection.request(RAW_HEADERS, body, timeout=10, headers=context().wire())

    def ours(kind: str) -> Call:
        async def call() -> None:
            await caller.call(subject(kind), blob, Blob, context())

        return call

    async def traced() -> None:
        with traces.client_span("encode", "traced@1", context()) as carried:
            await caller.call(subject("traced"), blob, Blob, carried)

    calls: dict[str, Call] = {"raw": raw, "headers": headers}
    calls |= {kind: ours(kind) for kind in ("silent", "bus")}
    return calls | {"traced": traced}, connection.close


async def until_answered(call: Call) -> None:
    """Repeat a call until its process is up.

    Raises:
        TimeoutError: it is not after 30 seconds.
    """
    async with asyncio.timeout(30):
        while True:
            try:
                await call()
            except (NoWorkers, NoRespondersError):
                await asyncio.sleep(0.1)
            else:
                return


def figures(rounds: list[dict[str, Timings]], cpu_us: dict[str, float]) -> list[Figure]:
    """Return the table's lines; ``cpu_us`` is the answering process's time per request."""
    n = sum(len(timings["raw"].latencies_ms) for timings in rounds)

    def ratio(name: str, above: str, below: str, aim: Aim | None = None) -> Figure:
        values = [r[above].p50_ms / r[below].p50_ms for r in rounds]
        return over_rounds(f"p50 ratio: {name}", "x", values, n=n, aim=aim)

    def added(name: str, above: str, below: str) -> Figure:
        values = [(r[above].p50_ms - r[below].p50_ms) * 1000 for r in rounds]
        return over_rounds(f"p50 added by {name}", "us", values, n=n)

    p50 = [
        over_rounds(f"p50 {_NAMES[kind]}", "us", [r[kind].p50_ms * 1000 for r in rounds], n=n)
        for kind in rounds[0]
    ]
    cpu = [over_rounds(f"CPU per answer, {_NAMES[k]}", "us", [v], n=n) for k, v in cpu_us.items()]
    return [
        ratio("our bus / raw echo", "bus", "raw", AIM),
        ratio("our bus, metrics and samples off / raw echo", "silent", "raw", AIM),
        ratio("our bus / raw echo with headers", "bus", "headers"),
        ratio("our bus with OTLP tracing / raw echo", "traced", "raw"),
        *p50,
        added("headers", "headers", "raw"),
        added("metrics and samples", "bus", "silent"),
        *cpu,
    ]


async def measure(
    url: str, processes: dict[str, "subprocess.Popen[bytes]"], plan: Plan
) -> list[Figure]:
    """Measure all variants over one connection."""
    calls, close = await variants(url)
    for call in calls.values():
        await until_answered(call)
    before = {kind: machine.cpu_seconds(process.pid) for kind, process in processes.items()}
    rounds = await alternate(calls, plan)
    requests = plan.rounds * plan.requests
    cpu_us = {
        # The raw process answers twice: with headers and without.
        kind: (machine.cpu_seconds(processes[kind].pid) - spent)
        / (requests * (1 + (kind == "raw")))
        * 1e6
        for kind, spent in before.items()
    }
    await close()
    return figures(rounds, cpu_us)


def main() -> None:
    """Run the benchmark and print its table."""
    given = arguments.read("bus_hop", __doc__, rounds=7, requests=1500)
    facts = report.begin("bus_hop")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = LocalServer(folder / "nats")
        server.start()
        stack.callback(server.stop)
        sink = stack.enter_context(collector(folder))
        spans = BatchSpanProcessor(OTLPSpanExporter(f"{sink}/v1/traces"))
        stack.callback(spans.shutdown)
        traces.configure("bench", "0", processor=spans)
        processes = stack.enter_context(responders(folder, server.url, sink))
        found = uvloop.run(measure(server.url, processes, Plan(given.rounds, given.requests)))
        spans.force_flush()
        notes = [f"The collector took {exports(sink)} exports."]
    found_all = report.Report(
        benchmark="bus_hop", command=given.command, machine=facts, figures=found, notes=notes
    )
    report.show(found_all, given.json)


if __name__ == "__main__":
    main()
