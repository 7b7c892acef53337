"""`trimtab eval rerank`: what the reranker gains, on the very same candidates with it and without it."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from trimtab.cli import judged, options
from trimtab.cli.address import nats_url
from trimtab.cli.evaluate.compare import delta_gate, sections, show, table
from trimtab.cli.evaluate.labelled import (
    ALL,
    Place,
    TrainedOn,
    keep,
    labelled,
    refuse_context,
    refuse_nothing_found,
)
from trimtab.cli.failure import Failure, guarded
from trimtab.cli.link import reach
from trimtab.cli.output import stdout
from trimtab.cli.questions import Count, NeededFile
from trimtab.client import Client
from trimtab.contracts import subjects
from trimtab.contracts.errors import NoWorkers
from trimtab.contracts.retrieve import PUBLIC_TENANT
from trimtab.corpus.stdlib import COLLECTION
from trimtab.evaluation.gates import Gate, at_least
from trimtab.evaluation.latency import LatencyMs
from trimtab.evaluation.live import Live
from trimtab.evaluation.queries import Query
from trimtab.evaluation.searching import Reordered, reordered
from trimtab.evaluation.summary import differences, summarise

USUAL = (0.20, 0.40)
"""Share of queries whose first result a useful reranker changes (runbook 5, T+2h)."""

Results = Annotated[
    Path | None,
    typer.Option(
        dir_okay=False,
        metavar="FILE",
        callback=judged.writable,
        help="Write every query's results in this order.",
    ),
]


@guarded
def rerank(
    queries: NeededFile,
    collection: options.Collection = COLLECTION,
    count: Count = ALL,
    trained_on: TrainedOn = None,
    component: Annotated[
        str, typer.Option("--component", help="Reranker; default: the release's.")
    ] = "",
    min_delta_r5: Annotated[float, typer.Option(help="Least dR@5, percentage points.")] = 3.0,
    min_contain: Annotated[
        float, typer.Option(help="Least Contain@50, 0..1.", min=0.0, max=1.0)
    ] = 0.82,
    before: Results = None,
    after: Results = None,
    seed: judged.RandomSeed = 7,
    release: judged.ReleaseName = "",
    tenant: options.Tenant = PUBLIC_TENANT,
    report: judged.ReportFile = None,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Rank the same candidates with and without the reranker and compare, paired.

    Passes when dR@5 reaches the bound, its interval excludes zero, and Contain@50 holds. Exit code 1 else.
    """
    asked, split = labelled(queries, count, seed, trained_on)
    place = Place(nats_url(nats), nkey_seed, collection, tenant, release)
    found, used = asyncio.run(_ask(place, asked, component))
    refuse_nothing_found(found.before)
    keep(before, found.before)
    keep(after, found.after)

    deltas = differences(list(zip(found.before, found.after, strict=True)), seed)
    figures = [summarise(run, seed).figures for run in (found.before, found.after)]
    gates: list[Gate] = [
        delta_gate("R@5", deltas["R@5"], min_delta_r5, surely=False),
        delta_gate("R@5 surely", deltas["R@5"], 0.0, surely=True),
        at_least("Contain@50", figures[1]["Contain@50"].mean, min_contain),
    ]
    rows = table(figures[0], figures[1], deltas)
    changed = found.first_changed / len(asked)
    added = LatencyMs.of(found.took_ms)
    words = (
        f"{used}, {len(asked)} queries; rank 1 changed for {100 * changed:.1f} % "
        f"(usual {100 * USUAL[0]:.0f}-{100 * USUAL[1]:.0f} %); adds p95 {added.p95:.2f} ms"
    )
    judged.write_report(
        report,
        f"Reranker {used} on {collection}",
        words,
        gates,
        sections(("off", "on"), figures, rows),
    )
    if not as_json:
        stdout().print(words, markup=False)
        show(rows)
    result = {
        "component": used,
        "collection": collection,
        "queries": len(asked),
        "split": None if split is None else split.shape(),
        "off": {name: figure.shape() for name, figure in figures[0].items()},
        "on": {name: figure.shape() for name, figure in figures[1].items()},
        "delta_pp": {name: delta.shape(100) for name, delta in deltas.items()},
        "first_changed": changed,
        "added_ms": added.shape(),
    }
    judged.finish(result, gates, as_json=as_json)


async def _ask(place: Place, queries: list[Query], component: str) -> tuple[Reordered, str]:
    refuse_context(queries)
    async with reach(place.url, place.nkey_seed) as client:
        live = await Live.of(client, place.tenant, release=place.release)
        used = component or live.release.rerank
        if not used:
            raise Failure(f"release {live.release.name} has no reranker", "name a --component")
        with judged.progress() as bar:
            task = bar.add_task("encoding and reranking", total=2 * len(queries))

            def advance(done: int) -> None:
                bar.advance(task, done)

            encoded = await live.encode([query.text for query in queries], advance)
            try:
                found = await reordered(live, used, place.collection, queries, encoded, advance)
            except NoWorkers as error:
                raise await _unserved(client, error, used) from None
            return found, used


async def _unserved(client: Client, error: NoWorkers, component: str) -> Exception:
    """Return what to say of a request that nobody took: of a reranker, which ones there are."""
    if error.subject != subjects.rerank(component):
        return error
    rerankers = (each for each in await client.health() if each.service == "reranker")
    served = sorted({name for each in rerankers for name in each.components})
    return Failure(
        f"no reranker serves {component}; served: {', '.join(served) or 'none'}",
        "name one of them, or have it loaded: a worker loads what a release names",
        error=type(error).__name__,
    )
