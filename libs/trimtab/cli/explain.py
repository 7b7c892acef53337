"""`trimtab explain REQUEST_ID`: why a search was answered as it was, from the stream of explanations."""

import asyncio
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trimtab.cli import options
from trimtab.cli.address import nats_url
from trimtab.cli.failure import guarded
from trimtab.cli.link import reach
from trimtab.cli.output import print_json, stdout
from trimtab.contracts.explain import Candidate, ExplainedPassage, Explanation
from trimtab.contracts.retrieve import LAST_VEC, PUBLIC_TENANT, IndexUse

_NUMBERS = ("rank", "was", "score", "cosine", "margin", "bm25", "maxsim", "sparse", "fused")


@guarded
def explain(
    request_id: Annotated[
        str, typer.Argument(help="As the reply and the logs name it.", metavar="REQUEST_ID")
    ],
    tenant: Annotated[
        str, typer.Option("--tenant", help="Who searched.", metavar="NAME")
    ] = PUBLIC_TENANT,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Show why a search was answered as it was.

    Kept are the searches that asked (`trimtab search --explain`) and a sample of the others, for a week.
    """

    async def read() -> Explanation:
        async with reach(nats_url(nats), nkey_seed) as client:
            return await client.explanation(request_id, tenant=tenant)

    explanation = asyncio.run(read())
    if as_json:
        print_json(explanation)
    else:
        show(explanation, stdout())


def show(explanation: Explanation, console: Console) -> None:
    """Print an explanation as people read it; ``--json`` has every candidate of the pool too."""
    for line in _facts(explanation):
        console.print(line, markup=False, soft_wrap=True)
    console.print()
    if not explanation.top:
        console.print("nothing was found")
        return
    console.print(_passages(explanation.top))
    if explanation.top[0].features:
        console.print(_features(explanation.top))
    console.print(_pool(explanation.pool), markup=False, soft_wrap=True, style="dim")


def _facts(explanation: Explanation) -> Iterator[str]:
    why = "asked for" if explanation.asked else "of the sample"
    yield f"request     {explanation.request_id}, tenant {explanation.tenant}; {why}"
    yield (
        f"release     {explanation.release} as {explanation.role}, bucket {explanation.bucket}, "
        f"revision {explanation.revision}"
    )
    yield f"index       {explanation.index}{_searched(explanation.search)}"
    fallback = f"; fell back: {explanation.fallback.value}" if explanation.fallback else ""
    if explanation.impl != LAST_VEC or fallback:
        yield f"query model {explanation.impl}{fallback}"
    else:
        yield f"query model {explanation.impl}, the query's own vector"
    stages = [
        f"{stage} {component}" + (f" on {on}" if (on := explanation.instances.get(stage)) else "")
        for stage, component in explanation.versions.items()
        if stage not in ("index", "query_model")
    ]
    yield f"components  {'; '.join(stages)}"
    times = [f"{stage} {took:.1f}" for stage, took in explanation.timing_ms.items()]
    yield f"ms          {', '.join(times)}"
    if explanation.search is not None and explanation.search.took_ms:
        parts = [f"{part} {took:.2f}" for part, took in explanation.search.took_ms.items()]
        yield f"            of retrieve: {', '.join(parts)}"
    yield f"degraded    {'; '.join(explanation.degraded) or 'nothing left out'}"


def _searched(use: IndexUse | None) -> str:
    if use is None:
        return ""
    if use.exact:
        return f", {use.kind}: every visible passage compared"
    if not use.lists:
        return f", {use.kind}, nprobe {use.nprobe}"
    return f", {use.kind}, nprobe {use.nprobe}: {use.visited} of {use.lists} lists visited"


def _passages(top: list[ExplainedPassage]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    sparse = any(each.sparse is not None for each in top)
    names = [name for name in _NUMBERS if sparse or name != "sparse"]
    for name in (*names, "same article"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("id", overflow="fold")
    for each in top:
        told = {
            "rank": str(each.rank),
            "was": str(each.rank_before),
            "score": _number(each.score),
            "cosine": _number(each.cosine),
            "margin": f"{each.margin:+.3f}",
            "bm25": f"{each.bm25:.2f}",
            "maxsim": _number(each.maxsim),
            "sparse": _number(each.sparse),
            "fused": _number(each.fused),
        }
        table.add_row(*(told[name] for name in names), str(each.same_article), Text(each.id))
    return table


def _features(top: list[ExplainedPassage]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("\nfeature", no_wrap=True)
    for each in top:
        table.add_column(f"\n#{each.rank}", justify="right", no_wrap=True)
    for name in top[0].features:
        table.add_row(name, *(f"{each.features[name]:.3f}" for each in top))
    return table


def _pool(pool: list[Candidate]) -> str:
    cosines = " ".join(f"{each.cosine:.3f}" for each in pool)
    return f"\ncosines of all {len(pool)}, in retrieval order: {cosines}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
