"""`trimtab index verify`: whether the index that serves finds what an exact search finds."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from trimtab.cli import judged, options
from trimtab.cli.address import nats_url
from trimtab.cli.failure import guarded
from trimtab.cli.index.asked import asked
from trimtab.cli.index.held_out import Comparison, compare, usable
from trimtab.cli.link import reach
from trimtab.cli.output import stdout
from trimtab.cli.questions import Count, NeededFile, read
from trimtab.contracts.inspect import InspectReply
from trimtab.contracts.retrieve import EVERY_LIST, PUBLIC_TENANT
from trimtab.corpus.stdlib import COLLECTION
from trimtab.evaluation.asking import approximate, exact
from trimtab.evaluation.bootstrap import Interval
from trimtab.evaluation.chart import bars
from trimtab.evaluation.gates import Gate, at_least, at_most
from trimtab.evaluation.live import Live
from trimtab.evaluation.metrics import DEPTH
from trimtab.evaluation.overlap import Overlap
from trimtab.evaluation.page import Section, Table

_FILLED = 10


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was measured."""

    facts: InspectReply
    nprobe: int
    members: int
    overlap: Overlap
    shares: list[float]
    deltas: dict[str, Interval]
    """Metric -> approximate less exact; empty when no query says what is relevant."""


@guarded
def verify(
    queries: NeededFile,
    collection: options.Collection = COLLECTION,
    count: Count = 500,
    depth: Annotated[int, typer.Option("--k", min=1, max=50, help="Results compared.")] = 10,
    nprobe: Annotated[
        int | None,
        typer.Option("--nprobe", min=1, max=EVERY_LIST, help="Default: what serves now."),
    ] = None,
    least_overlap: Annotated[
        float, typer.Option("--min-overlap", min=0.0, max=1.0, help="Mean overlap at K.")
    ] = 0.95,
    least_delta: Annotated[
        float,
        typer.Option("--min-delta", help="Least dR@5 and dContain@50, percentage points."),
    ] = -0.5,
    seed: judged.RandomSeed = 7,
    release: judged.ReleaseName = "",
    tenant: options.Tenant = PUBLIC_TENANT,
    report: judged.ReportFile = None,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Compare the serving index with an exact search on held-out queries.

    Overlap alone passes while the right answers get lost, so R@5 and Contain@50 are compared too where
    the queries say what is relevant. A query that is a stored passage, by its vector or word for word, is
    left out. Exit code 1 when a gate fails, and with it when there is such a query; 4 when too few are left.
    """
    chosen = read(queries, count, seed)

    async def ask() -> Verdict:
        async with reach(nats_url(nats), nkey_seed) as client:
            live = await Live.of(client, tenant, release=release)
            facts = await live.inspect(collection)
            lists = nprobe or live.nprobe() or facts.nprobe
            with judged.progress() as bar:
                encoded = await asked(live, chosen, bar)
                task = bar.add_task("comparing", total=2 * len(chosen))

                def advance(done: int) -> None:
                    bar.advance(task, done)

                truth = await exact(live, collection, encoded, DEPTH, advance)
                found = await approximate(live, collection, encoded, DEPTH, lists, advance)
            kept, members = usable(truth)
            result = compare(chosen, truth, found, kept, depth, seed)
            return _verdict(facts, lists, members, result)

    verdict = asyncio.run(ask())
    gates = _gates(verdict, least_overlap, least_delta)
    _write(report, verdict, gates)
    if not as_json:
        _show(verdict)
    judged.finish(shape(verdict), gates, as_json=as_json)


def _verdict(facts: InspectReply, nprobe: int, members: int, found: Comparison) -> Verdict:
    wanted = ("R@5", "Contain@50")
    deltas = {name: found.deltas[name] for name in wanted if name in found.deltas}
    return Verdict(facts, nprobe, members, found.overlap, found.shares.tolist(), deltas)


def _gates(verdict: Verdict, least_overlap: float, least_delta: float) -> list[Gate]:
    found = verdict.overlap
    detail = f"{found.queries} held-out queries, min {found.least:.2f}, p5 {found.p5:.2f}"
    gates = [
        at_most("queries that are stored passages", verdict.members, 0, "held-out queries only"),
        at_least(f"overlap@{found.depth}", found.mean, least_overlap, detail),
    ]
    for name, delta in verdict.deltas.items():
        what = f"pp, 95 % interval {delta.text(100)}"
        gates.append(at_least(f"d{name}", 100 * delta.mean, least_delta, what))
    return gates


def shape(verdict: Verdict) -> dict[str, Any]:
    """Return what ``--json`` prints beside the gates."""
    facts = verdict.facts
    return {
        "index": facts.index,
        "kind": facts.kind,
        "passages": facts.passages,
        "nlist": len(facts.lists),
        "nprobe": verdict.nprobe,
        "queries": verdict.overlap.queries,
        "members_left_out": verdict.members,
        "overlap": verdict.overlap.shape(),
        "delta_pp": {name: delta.shape(100) for name, delta in verdict.deltas.items()},
    }


def _show(verdict: Verdict) -> None:
    facts, console = verdict.facts, stdout()
    how = "answers exactly" if facts.kind == "flat" else f"{len(facts.lists)} lists"
    console.print(
        f"{facts.index}: {facts.kind}, {how}, {facts.passages} passages, nprobe {verdict.nprobe}",
        markup=False,
    )
    if not verdict.deltas:
        console.print(
            "no query says what is relevant: whether right answers get lost is not judged",
            style="yellow",
        )


def _write(report: judged.ReportFile, verdict: Verdict, gates: list[Gate]) -> None:
    filled = [0] * (_FILLED + 1)
    for share in verdict.shares:
        filled[round(share * _FILLED)] += 1
    places = [f"{number / _FILLED:.1f}" for number in range(_FILLED + 1)]
    facts = verdict.facts
    rows = [(f"d{name}, pp", delta.text(100)) for name, delta in verdict.deltas.items()] or [
        ("relevant passages", "not stated by the queries")
    ]
    judged.write_report(
        report,
        f"Index {facts.index} against an exact search",
        f"{facts.kind}, {len(facts.lists)} lists, nprobe {verdict.nprobe}, "
        f"{facts.passages} passages, {verdict.overlap.queries} held-out queries",
        gates,
        [
            Section(
                f"Overlap at {verdict.overlap.depth}",
                "Queries by the share of the exact results that the index found.",
                [bars(places, filled, "share found -> queries")],
            ),
            Section("Right answers", "Approximate less exact.", [Table(("", ""), rows).html()]),
        ],
    )
