"""Fits the fusion to labelled queries: ``python -m services.retriever.fit_fusion --queries FILE --out DIR --name hybrid@2``.

Asks the running encoder and retriever for each query's candidates with their two scores, chooses on half of the
clusters, judges on the others, and writes a component only if that helps beyond chance. One namespace, one
collection, one component: a release names it, and other releases fuse as before.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from services.retriever.fusionfit import Fit, Judged, NothingToFit, fit
from services.retriever.plan import FILE, SHIPPED, FusionPlan, Plan, load_plan
from trimtab.artifacts.manifest import Manifest, write_manifest
from trimtab.bus.connection import DEFAULT_URL
from trimtab.client import Client
from trimtab.contracts.errors import TrimtabError
from trimtab.contracts.retrieve import MAX_POOL, PUBLIC_TENANT, RetrieveReply
from trimtab.corpus.stdlib import COLLECTION
from trimtab.evaluation.live import Live
from trimtab.evaluation.queries import BadQueries, Query, read

Report = Callable[[str], None]

_KIND = "retriever"


def write_component(folder: Path, reference: str, plan: Plan, found: Fit) -> Manifest:
    """Write a retriever component; its manifest says what the fusion was worth and on how many queries."""
    folder.mkdir(parents=True, exist_ok=True)
    encoded = msgspec.json.format(msgspec.json.encode(plan, order="sorted"), indent=2)
    (folder / FILE).write_bytes(encoded + b"\n")
    name, _, version = reference.rpartition("@")
    facts: dict[str, str | int | float | bool] = {
        "fitted_on": found.train,
        "judged_on": found.test,
        "gain_r5": round(found.gain.mean, 4),
        "gain_r5_low": round(found.gain.low, 4),
        "gain_r5_high": round(found.gain.high, 4),
    }
    return write_manifest(folder, name=name, version=version, kind=_KIND, metadata=facts)


async def pools(
    live: Live, collection: str, queries: Sequence[Query], depth: int, report: Report
) -> list[Judged]:
    """Return the candidates of both lists of every query, as the running retriever finds them.

    Raises:
        TrimtabError: what a stage or the bus answered.
    """
    encoded = await live.encode([query.text for query in queries])
    found = []
    for number, (query, asked) in enumerate(zip(queries, encoded, strict=True), 1):
        limit = min(2 * depth, MAX_POOL)
        reply = await live.candidates(
            collection, asked, limit, live.nprobe(), exclude=query.exclude
        )
        if reply.signals is not None:
            found.append(_judged(query, reply))
        if number % 200 == 0:
            report(f"asked {number} of {len(queries)}")
    return found


async def run(options: argparse.Namespace, report: Report) -> Fit:
    """Fit as the command line says; the component is written when it helps."""
    queries = [query for query in read(options.queries) if query.relevant]
    if not queries:
        raise NothingToFit(f"{options.queries.name}: no query names a relevant passage")
    plan, base = await asyncio.to_thread(load_plan, options.base)
    async with Client.connect(options.nats, name="fit-fusion", nkey_seed=options.seed) as client:
        live = await Live.of(client, options.tenant, release=options.release)
        judged = await pools(live, options.collection, queries, plan.fusion.depth, report)
    found = await asyncio.to_thread(fit, judged, plan.fusion)
    report(_line(found, base.reference))
    if found.helps:
        fitted = msgspec.structs.replace(plan, fusion=found.fusion)
        manifest = await asyncio.to_thread(
            write_component, options.out / options.name, options.name, fitted, found
        )
        report(f"wrote {manifest.reference} {manifest.hash[:12]}")
    else:
        report(f"not beyond chance: keep {base.reference}; nothing was written")
    return found


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(
        prog="python -m services.retriever.fit_fusion", description=__doc__
    )
    made.add_argument("--queries", type=Path, required=True, help="JSONL: text, relevant, cluster")
    made.add_argument("--out", type=Path, required=True, help="folder to put the component in")
    made.add_argument("--name", type=_reference, required=True, help="name@version of the result")
    made.add_argument(
        "--base", type=Path, default=SHIPPED / "hybrid@1", help="component to start from"
    )
    made.add_argument("--collection", default=COLLECTION, help="default %(default)s")
    made.add_argument("--tenant", default=PUBLIC_TENANT, help="default %(default)s")
    made.add_argument(
        "--release", default="", help="whose stages are asked; default: the stable one"
    )
    made.add_argument("--nats", default=DEFAULT_URL, help="default %(default)s")
    made.add_argument("--seed", type=Path, help="file with the operator's nkey seed")
    made.add_argument("--json", action="store_true", help="print the figures as JSON on stdout")
    return made


def main() -> int:
    """Run the command; 1 with one line on stderr when it cannot be done."""

    def report(line: str) -> None:
        print(line, file=sys.stderr, flush=True)  # noqa: T201 - a command

    options = parser().parse_args()
    try:
        found = asyncio.run(run(options, report))
    except (BadQueries, NothingToFit, TrimtabError) as error:
        report(f"error: {error}")
        return 1
    if options.json:
        print(json.dumps(shape(found)))  # noqa: T201 - a command
    return 0


def shape(found: Fit) -> dict[str, object]:
    """Return a fit for scripts; gains in percentage points."""
    return {
        "fusion": msgspec.to_builtins(found.fusion),
        "before": msgspec.to_builtins(found.before),
        "train": found.train,
        "test": found.test,
        "helps": found.helps,
        "gain_r5_pp": found.gain.shape(100.0),
        "gain_mrr10_pp": found.gain_mrr.shape(100.0),
    }


def _judged(query: Query, reply: RetrieveReply) -> Judged:
    assert reply.signals is not None  # noqa: S101 - for the checker
    return Judged(
        ids=tuple(hit.id for hit in reply.hits),
        cosine=reply.signals.cosine.array()[0],
        bm25=reply.signals.bm25.array()[0],
        relevant=frozenset(query.relevant),
        cluster=query.cluster or query.id,
        sparse=None if reply.signals.sparse is None else reply.signals.sparse.array()[0],
    )


def _line(found: Fit, base: str) -> str:
    return (
        f"{_said(found.fusion)} instead of {_said(found.before)} of {base}: "
        f"R@5 {found.gain.text(100.0)} pp, MRR@10 {found.gain_mrr.text(100.0)} pp "
        f"on {found.test} held-out queries (chosen on {found.train})"
    )


def _said(plan: FusionPlan) -> str:
    if plan.method == "rrf":
        return f"RRF k={plan.rrf_k:g}"
    return f"blend {plan.lexical_weight:g}, sparse {plan.sparse_weight:g}"


def _reference(text: str) -> str:
    name, at, version = text.rpartition("@")
    if not (name and at and version):
        raise argparse.ArgumentTypeError("write NAME@VERSION")
    return text


if __name__ == "__main__":
    sys.exit(main())
