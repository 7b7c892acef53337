"""The three stages as a Ray Serve application: ``python -m benchmarks.ray_app FILES_JSON PORT``.

Runs in Ray's own environment. After it is up it measures blocks of searches on command: JSON lines
``{"texts", "concurrency"}`` on stdin, ``{"latencies_ms", "elapsed_s"}`` on stdout.
"""

import asyncio
import json
import os
import sys
import time
from typing import Any

import msgspec
import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.inprocess import LIMIT, Encoding, Files, Reranking, Retrieving
from trimtab.contracts.rerank import RerankReply
from trimtab.contracts.retrieve import Hit, RetrieveReply, RetrieveRequest, Signals

_MOST = 64
"""Requests in flight per replica; the default of 5 would queue at 32 callers."""

_STORE_BYTES = 128 * 2**20


class Encode:
    """Text to the request of the next stage."""

    def __init__(self, files: Files) -> None:
        self._collection = files.collection
        self._stage = Encoding.load(files)

    async def __call__(self, text: str) -> RetrieveRequest:
        """Answer one request."""
        return self._stage.request(text, self._collection)


class Retrieve:
    """Request to candidates."""

    def __init__(self, files: Files) -> None:
        self._stage = Retrieving.load(files)

    async def __call__(self, request: RetrieveRequest) -> RetrieveReply:
        """Answer one request."""
        return self._stage.reply(request)


class Rerank:
    """Signals to an order."""

    def __init__(self, files: Files) -> None:
        self._stage = Reranking.load(files)

    async def __call__(self, signals: Signals) -> RerankReply:
        """Answer one request."""
        return self._stage.reply(signals)


class Search:
    """The way of a request, over handles."""

    def __init__(self, encode: Any, retrieve: Any, rerank: Any) -> None:
        self._encode, self._retrieve, self._rerank = encode, retrieve, rerank

    async def search(self, text: str) -> list[Hit]:
        """Return the best passages."""
        found: RetrieveReply = await self._retrieve.remote(await self._encode.remote(text))
        reply: RerankReply = await self._rerank.remote(found.signals)
        return [found.hits[position] for position in reply.order[:LIMIT]]

    async def __call__(self, request: Request) -> Response:
        """Answer over HTTP."""
        hits = await self.search((await request.json())["text"])
        return Response(msgspec.json.encode(hits), media_type="application/json")


def application(files: Files) -> Any:
    """Return the bound application: one replica per stage, no access log."""

    def stage(kind: type) -> Any:
        return serve.deployment(
            max_ongoing_requests=_MOST,
            ray_actor_options={"num_cpus": 0},
            logging_config={"log_level": "WARNING", "enable_access_log": False},
        )(kind)

    stages = [stage(kind).bind(files) for kind in (Encode, Retrieve, Rerank)]
    return stage(Search).bind(*stages)


async def block(handle: Any, texts: list[str], concurrency: int) -> dict[str, object]:
    """Search for every text through the handle, that many at a time."""
    left, latencies_ms = iter(texts), []

    async def one_after_another() -> None:
        for text in left:
            started = time.perf_counter_ns()
            await handle.search.remote(text)
            latencies_ms.append((time.perf_counter_ns() - started) / 1e6)

    started = time.perf_counter()
    await asyncio.gather(*(one_after_another() for _ in range(concurrency)))
    return {"latencies_ms": latencies_ms, "elapsed_s": time.perf_counter() - started}


async def serve_commands(handle: Any) -> None:
    """Measure what stdin asks for until it ends."""
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        asked = json.loads(line)
        if asked.get("ids"):
            found = [hit.id for hit in await handle.search.remote(asked["ids"])]
            _say({"ids": found})
        else:
            _say(await block(handle, asked["texts"], asked["concurrency"]))


def main() -> None:
    """Start Ray on this machine, run the application, obey commands."""
    files, port = msgspec.json.decode(sys.argv[1], type=Files), int(sys.argv[2])
    ray.init(
        include_dashboard=False,
        object_store_memory=_STORE_BYTES,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": os.environ["PYTHONPATH"]}},
    )
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    handle = serve.run(application(files), name="search", route_prefix="/")
    _say({"ready": True})
    try:
        asyncio.run(serve_commands(handle))
    finally:
        serve.shutdown()
        ray.shutdown()


def _say(answer: dict[str, object]) -> None:
    print("@" + json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
