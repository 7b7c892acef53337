"""How soon a search sees an upsert and misses what was deleted: ``python -m benchmarks.freshness``.

At the shipped corpus of some 6,700 passages, one change at a time, in turns with a bare publish of as many bytes
to a stream of the same server: the floor of whatever is durable before it is answered.
"""

import itertools
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import uvloop
from nats.js import JetStreamContext
from nats.js.api import StorageType, StreamConfig

from benchmarks import arguments, fleet, report
from benchmarks.figure import AT_MOST, Aim, Figure, over_rounds, percentile
from benchmarks.questions import questions
from trimtab.bus.caller import Caller
from trimtab.client import Client
from trimtab.contracts import subjects
from trimtab.contracts.component import Release
from trimtab.contracts.documents import Document, IndexedPassage
from trimtab.contracts.encode import EncodeReply, EncodeRequest
from trimtab.contracts.headers import RequestContext, now_ms
from trimtab.contracts.message import encode
from trimtab.contracts.retrieve import RetrieveReply, RetrieveRequest
from trimtab.control.store import ControlStore
from trimtab.corpus.stdlib import COLLECTION

WITHIN = Aim(AT_MOST, 1000.0)
"""What was answered is searchable, or gone, within a second."""

IDS = 64
"""Passages that come and go; the same ones each time, so that a kept home does not grow."""

FLOOR = "BENCH_FLOOR"
_PATIENCE_S = 30.0


@dataclass
class Timings:
    """Milliseconds of one round."""

    put: list[float] = field(default_factory=list)
    """An upsert, from the request to its reply."""
    seen: list[float] = field(default_factory=list)
    """From that reply to the start of the first search that finds it."""
    delete: list[float] = field(default_factory=list)
    """A deletion, from the request to its reply."""
    unseen: list[float] = field(default_factory=list)
    """From that reply to the start of the first search that does not find it."""
    floor: list[float] = field(default_factory=list)
    """A bare publish, from the call to its acknowledgement."""


Pick = Callable[[Timings], list[float]]
"""One of the lists of a round."""


class TooLate(Exception):
    """A change was not seen in half a minute: that is a fault, not a figure."""


@dataclass
class Changes:
    """Changes one passage at a time and asks the retriever for it."""

    client: Client
    floor: JetStreamContext
    release: Release
    texts: list[str]
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    async def one(self, timings: Timings) -> None:
        """Upsert a passage, delete it, publish as many bytes bare."""
        number = next(self._numbers)
        name = f"freshness-{number % IDS}"
        text = f"{self.texts[number % len(self.texts)]} ({number})"
        document = Document(id=name, text=text, title="Freshness")
        query = await self._query(f"{document.title}\n{text}")

        async def is_seen() -> bool:
            return name in await self._found(query)

        async def is_unseen() -> bool:
            return name not in await self._found(query)

        put = self.client.put_documents(COLLECTION, [document])
        timings.put.append(await _took_ms(put))
        timings.seen.append(await _until(is_seen))
        timings.floor.append(await _took_ms(self._publish(document, query)))
        delete = self.client.delete_documents(COLLECTION, [name])
        timings.delete.append(await _took_ms(delete))
        timings.unseen.append(await _until(is_unseen))

    async def _query(self, text: str) -> EncodeReply:
        namespace = self.release.namespace
        asked = EncodeRequest(namespace=namespace, texts=[text], tokens=True)
        caller = Caller(self.client.connection)
        subject = subjects.encode(self.release.encode)
        return (await caller.call(subject, asked, EncodeReply, _context())).message

    async def _found(self, query: EncodeReply) -> list[str]:
        asked = RetrieveRequest(
            collection=COLLECTION,
            namespace=self.release.namespace,
            text="",
            vector=query.vectors,
            limit=5,
        )
        caller = Caller(self.client.connection)
        subject = subjects.retrieve(self.release.retrieve)
        answer = await caller.call(subject, asked, RetrieveReply, _context())
        return [hit.id for hit in answer.message.hits]

    async def _publish(self, document: Document, query: EncodeReply) -> None:
        body = encode(
            IndexedPassage(
                collection=COLLECTION,
                namespace=self.release.namespace,
                component=self.release.encode,
                document=document,
                content_hash="0" * 64,
                vector=query.vectors,
                tokens=query.tokens,
            )
        )
        await self.floor.publish(f"bench.floor.{document.id}", body, stream=FLOOR)


def _context() -> RequestContext:
    return RequestContext("f" * 32, "public", now_ms() + 30_000)


async def _took_ms(work: Awaitable[object]) -> float:
    began = time.perf_counter()
    await work
    return 1000 * (time.perf_counter() - began)


async def _until(holds: Callable[[], Awaitable[bool]]) -> float:
    """Return the milliseconds from now to the start of the first search of which it holds."""
    replied = time.perf_counter()
    while True:
        began = time.perf_counter()
        if await holds():
            return 1000 * (began - replied)
        if began - replied > _PATIENCE_S:
            raise TooLate


def figures(rounds: list[Timings]) -> list[Figure]:
    """Return the table's lines."""
    n = sum(len(each.put) for each in rounds)

    def part(pick: Pick, share: float) -> list[float]:
        return [percentile(pick(each), share) for each in rounds]

    lines = []
    verbs: dict[str, tuple[Pick, Pick]] = {
        "upsert": (lambda each: each.put, lambda each: each.seen),
        "delete": (lambda each: each.delete, lambda each: each.unseen),
    }
    for name, (answered, visible) in verbs.items():
        end = "found" if name == "upsert" else "not found any more"
        for share in (0.5, 0.99):
            label = f"p{round(100 * share)}"
            aim = WITHIN if share > 0.5 else None
            took = part(visible, share)
            lines.append(over_rounds(f"{label} {name}: reply to {end}", "ms", took, n=n, aim=aim))
            took = part(answered, share)
            lines.append(over_rounds(f"{label} {name}: request to durable reply", "ms", took, n=n))
        ratios = [percentile(answered(each), 0.5) / percentile(each.floor, 0.5) for each in rounds]
        lines.append(over_rounds(f"p50 ratio {name} / bare publish", "x", ratios, n=n))
    floors = part(lambda each: each.floor, 0.5)
    lines.append(over_rounds("p50 bare publish of the same bytes, acknowledged", "ms", floors, n=n))
    return lines


async def measure(given: arguments.Arguments) -> tuple[list[Figure], int]:
    """Bring a deployment up and change passages; return the lines and the size of the collection."""
    modules = fleet.QUICK_MODULES if given.quick else ()
    texts = questions(modules)  # before there is a connection that a busy loop would lose
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) / "home" if given.quick else fleet.HOME
        async with (
            fleet.running(fleet.SEARCH, home, modules=modules) as running,
            Client.connect(running.nats_url, name="bench") as client,
        ):
            js = client.connection.jetstream(timeout=10)
            await js.add_stream(
                StreamConfig(
                    name=FLOOR,
                    subjects=["bench.floor.*"],
                    storage=StorageType.FILE,
                    max_msgs_per_subject=1,
                )
            )
            try:
                release = (await (await ControlStore.open(client.connection)).read()).release
                changes = Changes(client, js, release, texts)
                await changes.one(Timings())  # the first of all loads what the others find loaded
                rounds = []
                for _ in range(given.rounds):
                    rounds.append(Timings())
                    for _ in range(given.requests):
                        await changes.one(rounds[-1])
                size = await _size(client)
            finally:
                await js.delete_stream(FLOOR)
    return figures(rounds), size


async def _size(client: Client) -> int:
    [retriever] = [each for each in await client.health() if each.service == "retriever"]
    return int(retriever.facts[f"passages.{COLLECTION}"])


def main() -> None:
    """Run the benchmark and print its table."""
    given = arguments.read("freshness", __doc__, rounds=5, requests=100)
    facts = report.begin("freshness")
    found, size = uvloop.run(measure(given))
    notes = [
        f"{size:,} passages. Visible is asked of the retriever, back to back, by the passage's own vector; "
        "a reply is durable: acknowledged by a stream that syncs each write. An upsert's reply includes its "
        "encoding."
    ]
    made = report.Report(
        benchmark="freshness", command=given.command, machine=facts, figures=found, notes=notes
    )
    report.show(made, given.json)


if __name__ == "__main__":
    main()
