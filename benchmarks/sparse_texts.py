"""Learned sparse vectors of labelled tasks, made by a component that was brought; without one there are none.

``python -m services.encoder.sparse.bring CHECKPOINT --name splade@1 --out var/bench/components/sparse`` brings one.
Encoding is cached below ``var/bench/rerank`` by content, like the vectors.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.rerank_data import Split, Task, asked_of
from benchmarks.rerank_texts import BUILT, CACHE, progress
from services.encoder.sparse.model import SparseModel, open_model
from services.encoder.sparse.pruning import Pruning
from services.encoder.sparse.spec import SPEC
from trimtab.artifacts.manifest import read_manifest
from trimtab.contracts.sparse import Kind, SparseRow, SparseSpace

BROUGHT = BUILT.parent / "sparse"
"""Where a component is looked for."""

MISSING = (
    "No sparse row: no model of learned sparse vectors is here; bring one with `python -m "
    "services.encoder.sparse.bring CHECKPOINT --name splade@1 --out var/bench/components/sparse` (docs/sparse.md)."
)


class SparseTexts:
    """One component, in this process, with a cache of whole collections."""

    def __init__(self, model: SparseModel, content_hash: str, cache: Path = CACHE) -> None:
        self._model = model
        self._hash = content_hash
        self._cache = cache

    @property
    def space(self) -> SparseSpace:
        """Of the vectors."""
        return self._model.space

    def passages(self, task: Task) -> list[SparseRow]:
        """Return the vectors of a task's documents, as an ingest makes them."""
        texts = [
            f"{each.title}\n{each.text}" if each.title else each.text for each in task.documents
        ]
        return self._kept(f"{task.name}-passages", texts, "passage")

    def queries(self, task: Task, split: Split) -> list[SparseRow]:
        """Return the vectors of one split's queries, cut as those of queries are."""
        texts = [query.text for query in asked_of(task, split)]
        return self._kept(f"{task.name}-{split}", texts, "query")

    def _kept(self, name: str, texts: Sequence[str], kind: Kind) -> list[SparseRow]:
        return [self._model.pruning.kept(row, kind) for row in self._encode(name, texts)]

    def _encode(self, name: str, texts: Sequence[str]) -> list[SparseRow]:
        digest = hashlib.sha256("\0".join((self._hash, *texts)).encode()).hexdigest()[:16]
        path = self._cache / f"{name}-sparse-{digest}.npz"
        if not path.is_file():
            rows = []
            for number, text in enumerate(texts):
                if number % 500 == 0:
                    progress(f"encoding {name}, sparse: {number} of {len(texts)}")
                rows += self._model.encode([text])
            partial = path.with_suffix(".partial.npz")
            ids, weights = ([getattr(row, part) for row in rows] for part in ("ids", "weights"))
            counts = [len(row.ids) for row in rows]
            np.savez(
                partial, ids=np.concatenate(ids), weights=np.concatenate(weights), counts=counts
            )
            partial.rename(path)
        with np.load(path) as stored:
            ends = np.cumsum(stored["counts"])[:-1]
            pairs = zip(
                np.split(stored["ids"], ends), np.split(stored["weights"], ends), strict=True
            )
            return [SparseRow(ids, weights) for ids, weights in pairs]


def brought(folder: Path = BROUGHT, cache: Path = CACHE) -> SparseTexts | None:
    """Return the component that was brought, the last by name; None without any.

    Raises:
        ArtifactError: it is damaged.
    """
    found = sorted(folder.glob(f"*/{SPEC}"))
    if not found:
        return None
    component = found[-1].parent
    cache.mkdir(parents=True, exist_ok=True)
    model = open_model(component, Pruning())
    return SparseTexts(model, read_manifest(component).hash, cache)
