"""Reads what an index is built of from a running deployment: every vector of a collection, queries encoded."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import Progress

from trimtab.artifacts.store import ArtifactStore
from trimtab.cli.failure import Failure
from trimtab.cli.index.asked import asked
from trimtab.client import Client
from trimtab.evaluation.live import Live
from trimtab.evaluation.queries import Query
from trimtab.evaluation.vectorbundle import BundleCard, HeldOut, VectorBundle


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a build starts from."""

    bundle: VectorBundle
    """Vectors and queries."""
    base: Path
    """Verified folder of the component that serves the collection now."""
    reference: str
    """``name@version`` of that component."""


async def fetch(
    client: Client,
    live: Live,
    collection: str,
    queries: Sequence[Query],
    cache: Path,
    bar: Progress,
) -> Fetched:
    """Read every vector, encode the queries, and pull the component that serves now below ``cache``.

    Raises:
        TrimtabError: a request failed, or the component is not in the object store.
        Failure: the collection changed so much meanwhile that passages are missing.
    """
    facts = await live.inspect(collection)
    ids, vectors = await _pages(live, collection, facts.passages, bar)
    encoded = await asked(live, queries, bar) if queries else []
    matrix = np.concatenate([each.vector for each in encoded]) if encoded else vectors[:0]
    store = await ArtifactStore.open(client.connection)
    base = await store.pull(live.release.retrieve, cache)
    card = BundleCard(
        collection=collection, index=facts.index, namespace=facts.namespace, encoder=facts.encoder
    )
    held_out = [
        HeldOut(id=query.id, relevant=list(query.relevant), cluster=query.cluster)
        for query in queries
    ]
    bundle = VectorBundle(card, ids, vectors, held_out, matrix)
    return Fetched(bundle, base, live.release.retrieve)


async def _pages(
    live: Live, collection: str, passages: int, bar: Progress
) -> tuple[list[str], np.ndarray[tuple[int, int], np.dtype[np.float32]]]:
    task = bar.add_task("reading vectors", total=passages)
    ids: list[str] = []
    parts = []
    after, more, total = -1, True, passages
    while more:
        page = await live.vectors(collection, after)
        ids += page.ids
        parts.append(page.vectors.array())
        after, more, total = page.last, page.more, page.passages
        bar.update(task, completed=len(ids), total=max(total, len(ids)))
    if len(ids) < 0.99 * total:
        raise Failure(
            f"only {len(ids)} of {total} passages of {collection} could be read",
            "repeat it when the collection changes less",
        )
    return ids, np.concatenate(parts)
