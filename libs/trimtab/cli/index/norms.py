"""`trimtab index norms`: whether the index, the queries and the models' outputs have unit length."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from trimtab.cli import judged, options
from trimtab.cli.address import nats_url
from trimtab.cli.failure import guarded
from trimtab.cli.link import reach
from trimtab.cli.output import stdout
from trimtab.cli.questions import Count, QueryFile, read
from trimtab.contracts.inspect import NORM_TOLERANCE, InspectReply, NormFacts
from trimtab.contracts.retrieve import PUBLIC_TENANT
from trimtab.corpus.stdlib import COLLECTION
from trimtab.evaluation.gates import Gate, at_most
from trimtab.evaluation.live import Live
from trimtab.evaluation.norms import norms_of

_PROBES = (
    "one",
    "How do I copy a whole directory tree?",
    "The quick brown fox jumps over the lazy dog. " * 40,
    "Größe, 距離, расстояние, μέγεθος",
)
"""Outputs of the model are looked at for these when no queries are given: short, long, other scripts."""


@guarded
def norms(
    collection: options.Collection = COLLECTION,
    queries: QueryFile = None,
    count: Count = 500,
    tolerance: Annotated[
        float, typer.Option("--tolerance", min=1e-9, max=0.1, help="Distance of a norm from 1.")
    ] = NORM_TOLERANCE,
    seed: judged.RandomSeed = 7,
    release: judged.ReleaseName = "",
    tenant: options.Tenant = PUBLIC_TENANT,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Check that every vector has unit length: stored ones, copies in the lists, what the models give.

    Of the encoder for the queries, or for a few texts of its own; of every query model that the retriever
    has loaded of this space for windows of stored passages (docs/query-models.md).
    Exit code 1 when one is further from 1 than the tolerance, or an index holds too few.
    """
    texts = [query.text for query in read(queries, count, seed)] if queries else list(_PROBES)
    asked = _ask(nats_url(nats), nkey_seed, (collection, tenant, release), texts, tolerance)
    facts, outputs = asyncio.run(asked)
    gates = _gates(facts, outputs, tolerance)
    if not as_json:
        stdout().print(
            f"{facts.index}: {facts.kind}, {facts.passages} passages of {facts.dimension} "
            f"dimensions, {facts.namespace}",
            markup=False,
        )
    judged.finish(shape(facts, outputs), gates, as_json=as_json)


async def _ask(
    url: str,
    nkey_seed: Path | None,
    of: tuple[str, str, str],
    texts: list[str],
    tolerance: float,
) -> tuple[InspectReply, NormFacts]:
    collection, tenant, release = of
    async with reach(url, nkey_seed) as client:
        live = await Live.of(client, tenant, release=release)
        facts = await live.inspect(collection, tolerance=tolerance)
        with judged.progress() as bar:
            task = bar.add_task("encoding", total=len(texts))
            encoded = await live.encode(texts, lambda done: bar.advance(task, done))
        vectors = np.concatenate([each.vector for each in encoded])
        return facts, norms_of(vectors, tolerance).facts()


def _gates(facts: InspectReply, outputs: NormFacts, tolerance: float) -> list[Gate]:
    gates = [_gate("stored vectors", facts.stored, tolerance)]
    if facts.copies is not None:
        gates.append(_gate("vectors in the lists", facts.copies, tolerance))
        missing = abs(facts.passages - facts.listed)
        gates.append(at_most("passages that the lists lack or have twice", missing, 0))
    gates.append(_gate("outputs of the encoder", outputs, tolerance))
    for name, norms_of_it in sorted(facts.models.items()):
        gates.append(_gate(f"outputs of the query model {name}", norms_of_it, tolerance))
    return gates


def _gate(what: str, facts: NormFacts, tolerance: float) -> Gate:
    detail = (
        f"{facts.count} vectors, norms {facts.least:.8f} to {facts.greatest:.8f}, "
        f"mean {facts.mean:.8f}, tolerance {tolerance:g}"
    )
    return at_most(f"{what} not of unit length", facts.beyond, 0, detail)


def shape(facts: InspectReply, outputs: NormFacts) -> dict[str, Any]:
    """Return what ``--json`` prints beside the gates."""
    return {
        "collection": facts.collection,
        "index": facts.index,
        "kind": facts.kind,
        "passages": facts.passages,
        "dimension": facts.dimension,
        "namespace": facts.namespace,
        "stored": facts.stored,
        "lists": facts.copies,
        "outputs": outputs,
        "models": facts.models,
    }
