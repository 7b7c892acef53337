"""Maps over the bus beside the same engine in one process: ``python -m benchmarks.mapper_speed``.

Through gateway, encoder and mapper with the engine of the processor (``safety-head@1``), one at a time and 32 at
once; then with the switch at rules only. The encoder caches nothing here, every text is another.
"""

import asyncio
import contextlib
import tempfile
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import uvloop

from benchmarks import arguments, fleet, report
from benchmarks.figure import AT_LEAST, AT_MOST, Aim, Figure, over_rounds
from benchmarks.inprocess import keep_to_one_thread
from benchmarks.mapper_local import Local, Parts
from benchmarks.questions import cycle, questions
from benchmarks.rounds import Call, Plan, Timings, alternate
from trimtab.client import Client
from trimtab.contracts.component import Release
from trimtab.contracts.control import Switch
from trimtab.contracts.mapping import MappingMode, MapReply, parts_of
from trimtab.contracts.orders import Command, KillCommand, Order, RestoreCommand
from trimtab.contracts.pipeline import MapCall
from trimtab.control.store import ControlStore

MAP = ("controller", "encoder", "mapper", "gateway")
CROWD = 32
BATCH = 50
P95 = Aim(AT_MOST, 10.0)
MAPS = Aim(AT_LEAST, 250.0)
RULES = Aim(AT_LEAST, 1500.0)

_TIMEOUT_S = 30.0
_OBEYED_S = 30.0


class Disagreement(RuntimeError):
    """Two ways gave one text other labels: the comparison would mean nothing."""


@dataclass
class Ways:
    """A mapping in this process and over the bus."""

    local: Local
    client: Client
    texts: list[str]

    async def over_nats(self, text: str) -> MapReply:
        """Ask the gateway."""
        return (await self.client.map(text, timeout_s=_TIMEOUT_S)).answer

    async def batch_over_nats(self, texts: list[str]) -> list[MapReply]:
        """Ask the gateway about many at once."""
        calls = [MapCall(output=text) for text in texts]
        items = (await self.client.map_batch(calls, timeout_s=_TIMEOUT_S)).items
        answers = [item.answer for item in items if item.answer is not None]
        if len(answers) != len(texts):
            raise Disagreement("an item of a batch was answered with an error")
        return answers

    async def agree(self) -> None:
        """Check that both ways decide alike.

        Raises:
            Disagreement: they do not.
        """
        for text in self.texts[:20]:
            here, there = self.local.alone.map(text), await self.over_nats(text)
            same = (here.taxonomy, here.decided_by) == (there.taxonomy, there.decided_by)
            if not same or there.fallback_reason != here.fallback_reason:
                raise Disagreement("a mapping over the bus gave other labels than in process")

    async def switch(self, command: Command, mode: MappingMode) -> None:
        """Throw the switch and wait until a reply obeys it."""
        await self.client.order(
            Order(command=command, operation=uuid.uuid4().hex, actor="bench", reason="benchmark")
        )
        async with asyncio.timeout(_OBEYED_S):
            while (await self.over_nats(self.texts[0])).mode is not mode:
                pass

    def calls(self, *, beside: bool, mode: MappingMode) -> dict[str, Call]:
        """Return one call per way; ``beside`` runs the local one in the threads."""
        given = {way: cycle(self.texts[start::2]) for start, way in enumerate(("local", "nats"))}
        by_rules = mode is MappingMode.RULES_ONLY

        async def local() -> None:
            text = next(given["local"])
            if beside:
                await (self.local.rules_beside if by_rules else self.local.map_beside)(text)
            elif by_rules:
                self.local.alone.by_rules(text)
            else:
                self.local.alone.map(text)

        async def nats() -> None:
            if (await self.over_nats(next(given["nats"]))).mode is not mode:
                raise Disagreement("a reply was of another mode than the one measured")

        return {"local": local, "nats": nats}

    def batched(self) -> dict[str, Call]:
        """Return a call that maps a whole batch over the bus."""
        given = cycle(self.texts)

        async def batch() -> None:
            await self.batch_over_nats([next(given) for _ in range(BATCH)])

        return {"batch": batch}


@contextlib.asynccontextmanager
async def ways(running: fleet.Fleet, texts: list[str]) -> AsyncIterator[Ways]:
    """Open both ways."""
    async with Client.connect(running.nats_url, name="bench") as client:
        release = (await (await ControlStore.open(client.connection)).read()).release
        local = await Local.open(_parts(running.home, release))
        yield Ways(local, client, texts)


def _parts(home: Path, release: Release) -> Parts:
    found = [
        next((home / "components").glob(f"{name}-*")) for name in (release.encode, release.map)
    ]
    return Parts(*found)


def alone(rounds: list[dict[str, Timings]]) -> list[Figure]:
    """Return the figures at one mapping at a time."""
    n = sum(len(timings["nats"].latencies_ms) for timings in rounds)
    pairs = [(r["nats"], r["local"]) for r in rounds]
    ratio = [there.p50_ms / here.p50_ms for there, here in pairs]
    added = [there.p50_ms - here.p50_ms for there, here in pairs]
    names = {"nats": "through the bus", "local": "in process"}
    figures = [
        over_rounds("map p50 ratio: through the bus / in process, concurrency 1", "x", ratio, n=n),
        over_rounds("map p50 added by the bus, concurrency 1", "ms", added, n=n),
    ]
    for way, name in names.items():
        p50, p95 = [r[way].p50_ms for r in rounds], [r[way].p95_ms for r in rounds]
        aim = P95 if way == "nats" else None
        figures += [
            over_rounds(f"map p95 {name}, concurrency 1", "ms", p95, n=n, aim=aim),
            over_rounds(f"map p50 {name}, concurrency 1", "ms", p50, n=n),
        ]
    return figures


def crowded(rounds: list[dict[str, Timings]], what: str, here: str, aim: Aim) -> list[Figure]:
    """Return the figures at 32 mappings at a time; ``here`` says how many threads the local way had."""
    n = sum(len(timings["nats"].latencies_ms) for timings in rounds)
    share = [r["nats"].per_second / r["local"].per_second for r in rounds]
    local = [r["local"].per_second for r in rounds]
    there = [r["nats"].per_second for r in rounds]
    p95 = [r["nats"].p95_ms for r in rounds]
    at = f"concurrency {CROWD}"
    return [
        over_rounds(f"{what} through the bus, {at}", "maps/s", there, n=n, aim=aim),
        over_rounds(f"{what} in process, {here}", "maps/s", local, n=n),
        over_rounds(f"{what} ratio: through the bus / in process, {at}", "x", share, n=n),
        over_rounds(f"{what} p95 through the bus, {at}", "ms", p95, n=n),
    ]


def batches(rounds: list[dict[str, Timings]], what: str) -> Figure:
    """Return how many items a second whole batches bring."""
    rates = [r["batch"].per_second * BATCH for r in rounds]
    n = sum(len(r["batch"].latencies_ms) for r in rounds) * BATCH
    return over_rounds(
        f"{what} through the bus, two batches of {BATCH} at once", "maps/s", rates, n=n
    )


async def measured(opened: Ways, given: arguments.Arguments) -> list[Figure]:
    """Return every figure, the model's first, then the rules'."""
    hybrid, rules = MappingMode.HYBRID, MappingMode.RULES_ONLY
    await opened.agree()
    one = Plan(given.rounds, given.requests)
    crowd = Plan(given.rounds, 4 * given.requests, concurrency=CROWD, block=8 * CROWD)
    whole = Plan(given.rounds, max(4, given.requests // BATCH), concurrency=2, block=8)
    found = alone(await alternate(opened.calls(beside=False, mode=hybrid), one))
    by_model = await alternate(opened.calls(beside=True, mode=hybrid), crowd)
    found += crowded(by_model, "maps", "a thread per core", MAPS)
    found.append(batches(await alternate(opened.batched(), whole), "maps"))
    await opened.switch(KillCommand(switch=Switch.MAPPER_MODE, value="rules_only"), rules)
    by_rules = await alternate(opened.calls(beside=False, mode=rules), crowd)
    found += crowded(by_rules, "maps by rules", "one thread", RULES)
    found.append(batches(await alternate(opened.batched(), whole), "maps by rules"))
    await opened.switch(RestoreCommand(switch=Switch.MAPPER_MODE), hybrid)
    return found


async def measure(given: arguments.Arguments) -> list[Figure]:
    """Bring a deployment up and measure both ways."""
    asked = questions(fleet.QUICK_MODULES if given.quick else ())
    texts = [text for text in asked if len(parts_of(text)) == 1]  # a bar would make two of one
    with tempfile.TemporaryDirectory() as scratch:
        # A home of its own: what it holds of a component is then what its worker loaded.
        async with (
            fleet.running(MAP, Path(scratch), corpus=False, environment=fleet.NO_CACHE) as running,
            ways(running, texts) as opened,
        ):
            return await measured(opened, given)


def main() -> None:
    """Run the benchmark and print its table."""
    given = arguments.read("mapper_speed", __doc__, rounds=5, requests=500)
    facts = report.begin("mapper_speed")
    keep_to_one_thread()
    found = uvloop.run(measure(given))
    notes = [
        "In process: encoder and mapper of the same components, called one after another; a crowd has one set "
        "and one thread per core and no client beside it (the rules run in one thread: they hold the "
        "interpreter). Over the bus the client, the gateway, the server, encoder and mapper share the same cores."
    ]
    made = report.Report(
        benchmark="mapper_speed", command=given.command, machine=facts, figures=found, notes=notes
    )
    report.show(made, given.json)


if __name__ == "__main__":
    main()
