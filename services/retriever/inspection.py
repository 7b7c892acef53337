"""Facts of one edition for those who verify it: sizes, norms of every vector, a sample to search for.

Goes through all vectors, a part at a time in the search thread, so that searches pass in between.
"""

from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.retriever.dense import snapshot
from services.retriever.dense.advice import advice
from services.retriever.dense.index import DenseIndex
from services.retriever.edition import Edition
from services.retriever.lanes import Lanes
from services.retriever.querymodel.choice import QueryModels
from services.retriever.querymodel.model import WINDOW, Vectors
from trimtab.artifacts.manifest import ArtifactError, read_manifest
from trimtab.contracts.inspect import InspectReply, InspectRequest, NormFacts, StoredSample
from trimtab.contracts.tensor import Matrix
from trimtab.evaluation.norms import Norms, norms_of

_PART = 8192
"""Slots looked at in one go of the search thread: about 3 ms at 384 dimensions."""

_WINDOWS = 32
"""Windows that every query model is asked with."""

_LISTS = 64
"""IVF lists looked at in one go."""


async def inspect(
    edition: Edition,
    request: InspectRequest,
    tenant: str,
    lanes: Lanes,
    snapshots: Path,
    reply_bytes: int,
    models: QueryModels,
) -> InspectReply:
    """Return the facts of an edition; a sample stays below ``reply_bytes`` and within what ``tenant`` sees."""
    stored = await _stored_norms(edition, lanes, request.tolerance)
    index = edition.index
    copies = None if index is None else await _copied_norms(index, lanes, request.tolerance)
    digest, sequence = await lanes.store(_newest, snapshots)
    sample = await lanes.search(_sample, edition, request, tenant, reply_bytes)
    facts = await lanes.search(_facts, edition)
    return msgspec.structs.replace(
        facts,
        stored=stored.facts(),
        copies=None if copies is None else copies.facts(),
        models=await _model_norms(edition, lanes, models, request.tolerance),
        snapshot=digest,
        snapshot_sequence=sequence,
        sample=sample,
    )


def _facts(edition: Edition) -> InspectReply:
    """Return what can be said at once, all of the same moment."""
    collection, index = edition.collection, edition.index
    edition.measure()
    return InspectReply(
        collection=collection.row.name,
        index=collection.version,
        namespace=collection.row.namespace,
        encoder=collection.row.component,
        kind=edition.kind,
        metric="inner_product",
        dimension=collection.row.dimension,
        sequence=collection.sequence,
        passages=collection.size,
        listed=0 if index is None else index.entries,
        nprobe=edition.plan.dense.nprobe,
        lists=[] if index is None else sorted(index.lengths(), reverse=True),
        imbalance=0.0 if index is None else index.imbalance,
        indexed=edition.indexed,
        dead=edition.dead,
        advice=advice(collection.row.name, edition.shape),
        stored=Norms().facts(),
        copies=None,
        snapshot="",
        snapshot_sequence=0,
        sample=None,
    )


async def _stored_norms(edition: Edition, lanes: Lanes, tolerance: float) -> Norms:
    def part(start: int) -> Norms:
        living = edition.collection.slots
        wanted = living[(living >= start) & (living < start + _PART)]
        return norms_of(edition.collection.vectors(wanted), tolerance)

    found = Norms()
    for start in range(0, edition.collection.entries, _PART):
        found += await lanes.search(part, start)
    return found


async def _copied_norms(index: DenseIndex, lanes: Lanes, tolerance: float) -> Norms | None:
    """Return the norms of the vectors in the lists; None of a kind that keeps no vectors in lists."""

    def part(start: int) -> Norms | None:
        found = Norms()
        for number in range(start, min(start + _LISTS, index.nlist)):
            held = index.held(number)
            if held is None:
                return None
            found += norms_of(held, tolerance)
        return found

    total = None
    for start in range(0, index.nlist, _LISTS):
        found = await lanes.search(part, start)
        if found is None:
            return None
        total = found if total is None else total + found
    return total


async def _model_norms(
    edition: Edition, lanes: Lanes, models: QueryModels, tolerance: float
) -> dict[str, NormFacts]:
    namespace = edition.collection.row.namespace
    found: dict[str, Norms] = {}
    for window in await lanes.search(_windows, edition):
        norms = await lanes.model(models.norms, namespace, window, tolerance)
        found = {name: found.get(name, Norms()) + norm for name, norm in norms.items()}
    return {name: norms.facts() for name, norms in found.items()}


def _windows(edition: Edition) -> list[Vectors]:
    """Return evenly spread runs of stored vectors, as long as a query model reads; none of fewer passages."""
    living = edition.collection.slots
    last = len(living) - WINDOW
    if last < 0:
        return []
    starts = np.unique(np.linspace(0, last, _WINDOWS).astype(int)).tolist()
    return [edition.collection.vectors(living[start : start + WINDOW]) for start in starts]


def _sample(
    edition: Edition, request: InspectRequest, tenant: str, reply_bytes: int
) -> StoredSample | None:
    if not request.sample:
        return None
    collection = edition.collection
    visible = collection.visible(tenant).slots()
    fit = max(1, reply_bytes // (4 * collection.row.dimension))
    size = min(request.sample, fit, len(visible))
    picked: NDArray[np.int64] = np.sort(
        np.random.default_rng(request.seed).permutation(visible)[:size]
    )
    positions, hits = collection.hits(picked)
    return StoredSample(
        ids=[hit.id for hit in hits],
        vectors=Matrix.of(collection.vectors(picked[positions])),
    )


def _newest(snapshots: Path) -> tuple[str, int]:
    """Return hash and sequence of the newest snapshot; nothing when there is none that can be read."""
    folder = snapshot.newest(snapshots)
    try:
        manifest = None if folder is None else read_manifest(folder)
    except ArtifactError:
        return "", 0
    return ("", 0) if manifest is None else (manifest.hash, int(manifest.metadata["sequence"]))
