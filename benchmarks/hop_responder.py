"""The answering side of ``bus_hop``, one process per variant: ``python -m benchmarks.hop_responder KIND URL``.

``raw`` is nats-py alone, ``raw:NAME`` the same on a subject of its own. ``bus`` is a worker as every
service runs it, ``silent`` the same worker with its metrics and samples left out, ``traced`` with tracing on.
"""

import asyncio
import sys

import uvloop
from nats.aio.msg import Msg

from trimtab.bus.connection import connect
from trimtab.bus.server import Endpoint
from trimtab.contracts import subjects
from trimtab.contracts.headers import RequestContext
from trimtab.contracts.message import Message
from trimtab.worker.sampler import Sampler
from trimtab.worker.service import Worker, run
from trimtab.worker.settings import DeploymentSettings, WorkerSettings

RAW, RAW_HEADERS = "bench.raw", "bench.headers"
REPLY_HEADERS = {
    "content-type": "application/msgpack",
    "Trimtab-Component": "bus@1",
    "Trimtab-Instance": "bus-0",
    "Trimtab-Timing": "1234",
}
KINDS = ("bus", "silent", "traced")


class Blob(Message, frozen=True, kw_only=True):
    """What is sent and sent back."""

    data: bytes


class Silent(Sampler):
    """Learns nothing."""

    def observe(
        self,
        endpoint: str,
        component: str,
        release: str,
        outcome: str,
        took_ms: float,
        role: str = "",
    ) -> None:
        """Ignore one answered request."""


def subject(kind: str) -> str:
    """Return the subject of a variant of our bus."""
    return subjects.encode(f"{kind}@1")


async def echo(request: Blob, _: RequestContext) -> Blob:
    """Return what came."""
    return Blob(data=request.data)


def raw_subject(kind: str) -> str:
    """Return where ``raw`` or ``raw:NAME`` listens."""
    return ".".join((RAW, *kind.split(":")[1:]))


async def raw(url: str, kind: str) -> None:
    """Echo with nothing but nats-py, without and with headers like ours."""
    connection = await connect(url, "raw")

    async def plain(message: Msg) -> None:
        await connection.publish(message.reply, message.data)

    async def with_headers(message: Msg) -> None:
        await connection.publish(message.reply, message.data, headers=REPLY_HEADERS)

    await connection.subscribe(raw_subject(kind), queue="raw", cb=plain)
    await connection.subscribe(RAW_HEADERS, queue="raw", cb=with_headers)
    await asyncio.Event().wait()


def worker(kind: str, url: str) -> Worker:
    """Return a worker that echoes."""
    endpoint = Endpoint("encode", subject(kind), Blob, echo, f"{kind}@1")

    async def load(built: Worker) -> None:
        if kind == "silent":
            built.server.sampler = Silent(built.identity)
        built.serve(endpoint)

    settings = WorkerSettings(instance=f"{kind}-0")
    return Worker(kind, "echoes", DeploymentSettings(nats_url=url), settings, load)


def main() -> None:
    """Answer until terminated."""
    kind, url = sys.argv[1:3]
    if kind.startswith("raw"):
        uvloop.run(raw(url, kind))
    else:
        run(lambda: worker(kind, url))


if __name__ == "__main__":
    main()
