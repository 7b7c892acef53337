"""`trimtab index sweep`: which nprobe to serve with, measured on real queries; `--apply` sets it live."""

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from trimtab.cli import judged, options, steering
from trimtab.cli.address import nats_url
from trimtab.cli.exitcode import ExitCode
from trimtab.cli.failure import guarded
from trimtab.cli.index.asked import asked
from trimtab.cli.index.held_out import compare, usable
from trimtab.cli.link import reach
from trimtab.cli.output import print_json, stdout
from trimtab.cli.questions import Count, NeededFile, read
from trimtab.client import Client
from trimtab.contracts.control import Convergence
from trimtab.contracts.inspect import InspectReply
from trimtab.contracts.orders import Order, Outcome, SetCommand
from trimtab.contracts.retrieve import PUBLIC_TENANT
from trimtab.corpus.stdlib import COLLECTION
from trimtab.evaluation.asking import exact, timed
from trimtab.evaluation.chart import Line, Mark, lines
from trimtab.evaluation.latency import LatencyMs
from trimtab.evaluation.live import Live
from trimtab.evaluation.metrics import DEPTH
from trimtab.evaluation.page import Section, Table
from trimtab.evaluation.queries import Query
from trimtab.evaluation.sweep import LEAST_DELTA_PP, Choice, Point, choose

SETTING = "retriever.nprobe"
_DEPTH = 10


def nprobes(text: str) -> str:
    """Refuse what is no list of nprobes; a typer callback."""
    parts = text.split(",")
    if not all(part.strip().isdigit() and 1 <= int(part) <= 4096 for part in parts):
        raise typer.BadParameter("write numbers from 1 to 4096, like 4,8,12,16")
    return text


@dataclass(frozen=True, slots=True)
class Swept:
    """What was measured and decided."""

    facts: InspectReply
    against: str
    """What dR@10 is of: ``relevant ids``, or ``the exact ten``."""
    queries: int
    members: int
    points: list[Point]
    choice: Choice


@guarded
def sweep(
    queries: NeededFile,
    nprobe: Annotated[
        str, typer.Option("--nprobe", callback=nprobes, metavar="N,N,...", help="To try.")
    ] = "4,8,12,16",
    collection: options.Collection = COLLECTION,
    count: Count = 500,
    target_p95: Annotated[
        float, typer.Option("--target-p95", min=0.01, help="Milliseconds of the retrieve stage.")
    ] = 8.0,
    least_delta: Annotated[
        float, typer.Option("--min-delta-r10", help="Least dR@10, percentage points.")
    ] = LEAST_DELTA_PP,
    apply: Annotated[
        bool, typer.Option("--apply", help="Set the chosen nprobe on the running workers.")
    ] = False,
    seed: judged.RandomSeed = 7,
    release: judged.ReleaseName = "",
    tenant: options.Tenant = PUBLIC_TENANT,
    report: judged.ReportFile = None,
    actor: steering.Actor = "",
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Measure each nprobe on the running deployment and choose: the smallest that is good and fast enough.

    Good: dR@10 against the exact search, by the relevant ids of the queries, or by the exact ten where none are
    given. Queries that are stored passages, by vector or word for word, are left out. Exit code 1 when none
    is good and fast enough; nothing is set then. 4: too few held-out queries.
    """
    chosen = read(queries, count, seed)
    tried = sorted({int(part) for part in nprobe.split(",")})
    if apply and release:
        raise typer.BadParameter("--apply sets what serves: leave --release out")

    async def run() -> tuple[Swept, tuple[Outcome, Convergence | None] | None]:
        async with reach(nats_url(nats), nkey_seed) as client:
            live = await Live.of(client, tenant, release=release)
            measured = await _measure(live, collection, chosen, tried, seed)
            swept = _decided(measured, target_p95, least_delta)
            if not apply or swept.choice.nprobe is None:
                return swept, None
            return swept, await _apply(client, swept.choice, actor)

    swept, applied = asyncio.run(run())
    _write(report, swept, target_p95, least_delta)
    if as_json:
        print_json(shape(swept, applied))
    else:
        _show(swept, applied)
    obeyed = applied is None or applied[1] is None or applied[1].status == "converged"
    if swept.choice.nprobe is None or not obeyed:
        raise typer.Exit(ExitCode.FAILED)


async def _measure(
    live: Live, collection: str, queries: Sequence[Query], tried: Sequence[int], seed: int
) -> Swept:
    facts = await live.inspect(collection)
    if facts.kind == "flat":
        raise judged.inconclusive(
            f"{facts.index} answers exactly: nprobe changes nothing there",
            "sweep a collection that is large enough for IVF lists, or another --release",
        )
    with judged.progress() as bar:
        encoded = await asked(live, queries, bar)
        task = bar.add_task("searching exactly", total=len(queries))
        truth = await exact(live, collection, encoded, DEPTH, lambda n: bar.advance(task, n))
        kept, members = usable(truth)
        task = bar.add_task("sweeping", total=len(queries) * len(tried))
        results = await timed(
            live, collection, encoded, tried, DEPTH, seed, lambda n: bar.advance(task, n)
        )
    points, against = [], "the exact ten"
    for number, result in results.items():
        found = compare(queries, truth, result.found, kept, _DEPTH, seed)
        delta = found.overlap.mean - 1.0
        if found.deltas:
            delta, against = found.deltas["R@10"].mean, "relevant ids"
        points.append(Point(number, LatencyMs.of(result.took_ms), found.overlap, 100 * delta))
    return Swept(facts, against, len(kept), members, points, Choice(None, ""))


def _decided(measured: Swept, target_p95: float, least_delta: float) -> Swept:
    choice = choose(measured.points, target_p95, least_delta)
    return Swept(
        measured.facts,
        measured.against,
        measured.queries,
        measured.members,
        measured.points,
        choice,
    )


async def _apply(client: Client, choice: Choice, actor: str) -> tuple[Outcome, Convergence | None]:
    """Set it as `trimtab set` does; what was measured stands in the audit as the reason."""
    order = Order(
        operation=uuid.uuid4().hex,
        command=SetCommand(name=SETTING, value=choice.nprobe),
        actor=steering.who(actor),
        reason=f"index sweep: {choice.why}",
    )
    outcome = await client.order(order)
    if not outcome.changed:
        return outcome, None
    return outcome, await steering.reached(client, outcome.revision, 10.0)


def shape(
    swept: Swept, applied: tuple[Outcome, Convergence | None] | None = None
) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    facts = swept.facts
    return {
        "ok": swept.choice.nprobe is not None,
        "index": facts.index,
        "kind": facts.kind,
        "passages": facts.passages,
        "nlist": len(facts.lists),
        "queries": swept.queries,
        "members_left_out": swept.members,
        "delta_r10_against": swept.against,
        "points": [point.shape() for point in swept.points],
        "choice": {"nprobe": swept.choice.nprobe, "why": swept.choice.why},
        "applied": None
        if applied is None
        else {
            "status": applied[0].status,
            "revision": applied[0].revision,
            "diff": applied[0].diff,
            "convergence": applied[1],
        },
    }


_HEAD = ("nprobe", "mean ms", "p50", "p95", "p99", "overlap@10", "min", "p5", "perfect", "dR@10 pp")


def _row(point: Point) -> tuple[str, ...]:
    took, found = point.latency, point.overlap
    return (
        str(point.nprobe),
        *(f"{value:.2f}" for value in (took.mean, took.p50, took.p95, took.p99)),
        *(f"{value:.3f}" for value in (found.mean, found.least, found.p5)),
        f"{100 * found.perfect:.1f} %",
        f"{point.delta_r10_pp:+.2f}",
    )


def _show(swept: Swept, applied: tuple[Outcome, Convergence | None] | None) -> None:
    console, facts = stdout(), swept.facts
    console.print(
        f"{facts.index}: {facts.kind}, {len(facts.lists)} lists, {facts.passages} passages; "
        f"{swept.queries} held-out queries; dR@10 against {swept.against}",
        markup=False,
    )
    for row in (_HEAD, *(_row(point) for point in swept.points)):
        console.print("  ".join(f"{cell:>10}" for cell in row), markup=False)
    good = swept.choice.nprobe is not None
    console.print(swept.choice.why, style="green" if good else "red", markup=False)
    if applied is not None:
        outcome, convergence = applied
        console.print(f"{outcome.status}, revision {outcome.revision}", markup=False)
        if convergence is not None:
            steering.show_convergence(convergence)


def _write(report: judged.ReportFile, swept: Swept, target_p95: float, least_delta: float) -> None:
    places = [str(point.nprobe) for point in swept.points]
    delays = [Line(f"p{q}", [getattr(p.latency, f"p{q}") for p in swept.points]) for q in (50, 95)]
    loss = [Line("dR@10", [point.delta_r10_pp for point in swept.points])]
    judged.write_report(
        report,
        f"nprobe sweep of {swept.facts.index}",
        f"{swept.queries} held-out queries; {swept.choice.why}",
        [],
        [
            Section(
                "Latency of the retrieve stage, over the bus",
                parts=[lines(places, delays, [Mark("target", target_p95)], "ms by nprobe")],
            ),
            Section(
                f"R@10 less that of the exact search, against {swept.against}",
                parts=[lines(places, loss, [Mark("bound", least_delta)], "pp by nprobe")],
            ),
            Section("Numbers", parts=[Table(_HEAD, [_row(p) for p in swept.points]).html()]),
        ],
    )
