"""Builds the index of one collection from its vectors, measures it against FLAT, and writes the component that brings it.

Everything is chosen by a seed: the same bundle, base and options give the same bytes. Takes seconds to
minutes; no worker does it.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from services.retriever.component import Component
from services.retriever.dense import kinds
from services.retriever.dense.advice import Shape
from services.retriever.dense.index import DenseIndex
from services.retriever.dense.indexmeasure import Measured, Report, measure_index
from services.retriever.dense.trained import INDEXES, TrainedIndex
from services.retriever.plan import FILE, Plan, nlist_for
from trimtab.artifacts.manifest import MANIFEST, Manifest, write_manifest
from trimtab.contracts.inspect import NORM_TOLERANCE
from trimtab.evaluation.norms import Norms, norms_of
from trimtab.evaluation.truth import checksum_of, write_truth
from trimtab.evaluation.vectorbundle import VectorBundle

_FILL = 8192


class Unbuildable(Exception):
    """An index cannot be built of this; says why."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to build."""

    reference: str
    """``name@version`` of the component."""
    plan: Plan
    """Of the component: kind and rules."""
    nlist: int | None = None
    """Lists; None follows the plan's rule."""
    seed: int = 7
    """Chooses the sample to train on."""


@dataclass(frozen=True, slots=True)
class Built:
    """What came of it."""

    manifest: Manifest
    """Of the component folder."""
    record: TrainedIndex
    """Of the index."""
    shape: Shape
    """Filled with the passages that it was trained on."""
    lengths: list[int]
    """Of the lists, longest first."""
    norms: Norms
    """Of the vectors."""
    measured: Measured
    """Against FLAT."""
    dropped: list[str]
    """Collections whose trained index of the base is of another kind, and is not in this component."""


def build(
    bundle: VectorBundle, base: Component, folder: Path, order: Order, into: Path, report: Report
) -> Built:
    """Build, measure and write the component folder ``into``, which must not exist.

    Args:
        bundle: vectors and queries.
        base: component whose other files, other collections' indexes among them, are taken over.
        folder: where the base's files lie.
        order: what to build.
        into: where to.
        report: told how far it is.

    Raises:
        Unbuildable: there is nothing to train on, or a vector is not of unit length.
        Uncodable: the plan's codes do not fit the vectors.
        FileExistsError: ``into`` exists.
    """
    norms = norms_of(bundle.vectors, NORM_TOLERANCE)
    _refuse(bundle, norms, order.plan)
    into.mkdir(parents=True)
    try:
        return _written(bundle, base, folder, order, into, norms, report)
    except BaseException:
        shutil.rmtree(into)  # or the next try would find a folder that is no component
        raise


def _written(
    bundle: VectorBundle,
    base: Component,
    folder: Path,
    order: Order,
    into: Path,
    norms: Norms,
    report: Report,
) -> Built:
    kept, dropped = _take_over(base, folder, into, bundle.card.collection, order.plan)
    index = _trained(bundle, order, report)
    file = f"trained/{bundle.card.collection}.faiss"
    (into / file).parent.mkdir(exist_ok=True)
    index.write(into / file)
    _fill(index, bundle, report)
    truth = f"truth/{bundle.card.collection}.jsonl"
    measured, golden = measure_index(index, bundle, order.plan, report)
    if golden:
        (into / truth).parent.mkdir(exist_ok=True)
        write_truth(into / truth, golden)
    lengths = sorted(index.lengths(), reverse=True)
    record = _record(bundle, order, index, norms, measured, (file, truth if golden else ""))
    (into / INDEXES).write_bytes(msgspec.json.encode([*kept, record]))
    (into / FILE).write_bytes(msgspec.json.format(msgspec.json.encode(order.plan), indent=2))
    name, _, version = order.reference.partition("@")
    metadata = _metadata(record)
    manifest = write_manifest(into, name=name, version=version, kind="retriever", metadata=metadata)
    shape = Shape(
        index.entries, index.entries, index.nlist, index.imbalance, record.longest, index.dead
    )
    return Built(manifest, record, shape, lengths, norms, measured, dropped)


def _refuse(bundle: VectorBundle, norms: Norms, plan: Plan) -> None:
    if plan.index.kind == "flat":
        raise Unbuildable("FLAT is the vectors themselves: there is nothing to build")
    if not len(bundle.vectors):
        raise Unbuildable(f"collection {bundle.card.collection} holds no passages")
    if norms.beyond:
        raise Unbuildable(
            f"{norms.beyond} of {norms.count} vectors are not of unit length within {NORM_TOLERANCE:g}"
        )


def _take_over(
    base: Component, folder: Path, into: Path, collection: str, plan: Plan
) -> tuple[list[TrainedIndex], list[str]]:
    """Copy what the base holds beside the plan and this collection's index."""
    records = [trained.record for trained in base.trained.values()]
    kept = [r for r in records if r.collection != collection and r.kind == plan.index.kind]
    dropped = [r for r in records if r.collection != collection and r not in kept]
    own = {FILE, INDEXES, MANIFEST} | {
        name
        for record in records
        if record not in kept
        for name in (record.file, record.truth, _sum_of(record.truth))
    }
    for name in base.manifest.files:
        if name not in own:
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, into / name)
    return kept, [record.collection for record in dropped]


def _sum_of(truth: str) -> str:
    return checksum_of(Path(truth)).as_posix() if truth else ""


def _trained(bundle: VectorBundle, order: Order, report: Report) -> DenseIndex:
    plan, vectors = order.plan, bundle.vectors
    nlist = order.nlist or nlist_for(len(vectors), plan.dense.nlist_per_sqrt)
    if plan.index.kind in ("ivf", "ivf_pq") and nlist > len(vectors):
        raise Unbuildable(f"{len(vectors)} passages are fewer than {nlist} lists")
    size = kinds.sample_size(plan.index, nlist)
    picked = np.random.default_rng(order.seed).permutation(len(vectors))[:size]
    report("training", 0, 1)
    index = kinds.train(plan.index, vectors.shape[1], vectors[np.sort(picked)], nlist)
    report("training", 1, 1)
    return index


def _fill(index: DenseIndex, bundle: VectorBundle, report: Report) -> None:
    total = len(bundle.vectors)
    for start in range(0, total, _FILL):
        part = bundle.vectors[start : start + _FILL]
        index.extend(part, np.arange(start, start + len(part), dtype=np.int64))
        report("filling", start + len(part), total)


def _record(
    bundle: VectorBundle,
    order: Order,
    index: DenseIndex,
    norms: Norms,
    measured: Measured,
    files: tuple[str, str],
) -> TrainedIndex:
    card, facts = bundle.card, norms.facts()
    return TrainedIndex(
        collection=card.collection,
        namespace=card.namespace,
        encoder=card.encoder,
        kind=index.kind,
        dimension=index.dimension,
        passages=len(bundle.vectors),
        index=card.index,
        nlist=index.nlist,
        restarts=order.plan.index.restarts if index.nlist else 0,
        seed=order.seed,
        imbalance=index.imbalance,
        longest=max(index.lengths(), default=0),
        least_norm=facts.least,
        greatest_norm=facts.greatest,
        nprobe=order.plan.dense.nprobe,
        queries=measured.overlap.queries if measured.overlap else 0,
        overlap=measured.overlap.mean if measured.overlap else 1.0,
        file=files[0],
        truth=files[1],
    )


def _metadata(record: TrainedIndex) -> dict[str, str | int | float | bool]:
    """Return what `manifest.json` says at a glance; all of it, and other collections', is in ``indexes.json``."""
    told: dict[str, str | int | float | bool] = msgspec.to_builtins(record)
    return {name: value for name, value in told.items() if name not in ("file", "truth")}
