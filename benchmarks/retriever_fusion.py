"""How the dense and the lexical list become one, by quality: ``python -m benchmarks.retriever_fusion``.

Three corpora: ATT&CK techniques asked by procedures, the ops documentation asked by inverse cloze
(:mod:`benchmarks.rerank_data`), and the standard library of this interpreter asked by questions of ours. The method and
its weight were chosen on the training halves; the table shows the other half. Intervals resample whole actors,
articles and questions.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.rerank_data import DataMissing, Query, Task, tasks
from benchmarks.rerank_texts import Encoder, Texts
from benchmarks.retriever_questions import QUESTIONS
from services.retriever.dense.flat import use_one_thread
from services.retriever.edition import Edition
from services.retriever.fusion import best_first, blend, reciprocal_ranks
from services.retriever.fusionfit import Judged, best, judged
from services.retriever.passages.collection import Change, Collection
from services.retriever.passages.loading import lexical_of
from services.retriever.passages.store import CollectionRow, StoredPassage
from services.retriever.plan import SHIPPED, FusionPlan, Plan, load_plan
from services.retriever.words.terms import english_stemmer, terms
from trimtab.contracts.documents import Document
from trimtab.contracts.retrieve import PUBLIC_TENANT, Hit
from trimtab.corpus import stdlib

Scores = NDArray[np.float32]
Fuse = Callable[[Scores, Scores], Scores]

_RESAMPLES = 1000
_NOT_FOUND = 1 << 30


@dataclass(frozen=True, slots=True)
class Pool:
    """Candidates of one query."""

    slots: NDArray[np.int64]
    cosine: Scores
    bm25: Scores
    right: frozenset[int]
    cluster: str


def _blend(weight: float) -> Fuse:
    return lambda cosine, bm25: blend(cosine, bm25, weight)


def _ranked(rrf_k: float) -> Fuse:
    return lambda cosine, bm25: reciprocal_ranks(cosine, bm25, rrf_k)


DENSE = "dense alone"
METHODS: dict[str, Fuse] = {
    DENSE: lambda cosine, _: cosine,
    "BM25 alone": lambda _, bm25: bm25,
    **{f"blend {weight}": _blend(weight) for weight in (0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)},
    **{f"RRF k={k:.0f}": _ranked(k) for k in (10.0, 60.0)},
}


def standard_library() -> Task:
    """Return the shipped corpus with our questions; those without a documented answer are left out."""
    documents = list(stdlib.documents())
    known = {document.id for document in documents}
    queries = [
        Query(question, " ".join(sorted(names & known)), question)
        for question, names in QUESTIONS
        if names & known
    ]
    return Task("stdlib", documents, [], queries)


def pools(task: Task, queries: Sequence[Query], encoder: Encoder, plan: Plan) -> Iterator[Pool]:
    """Yield the candidates of every query, found as a worker finds them."""
    encoded = encoder.encode(f"{task.name}-passages", [_searchable(d) for d in task.documents])
    asked = encoder.encode(f"{task.name}-asked-{len(queries)}", [query.text for query in queries])
    edition, numbers = _edition(task, encoded, plan)
    stem, visible = english_stemmer(), edition.collection.visible(PUBLIC_TENANT)
    depth, nprobe = plan.fusion.depth, plan.dense.nprobe
    for query, vector in zip(queries, asked.vectors, strict=True):
        near = edition.nearest(vector, depth, visible, nprobe)
        match = edition.matches(terms(query.text, stem), depth, visible, near.slots)
        added = ~np.isin(match.slots, near.slots)
        lexical = match.slots[added]
        yield Pool(
            np.concatenate([near.slots, lexical]),
            np.concatenate([near.cosines, edition.collection.vectors(lexical) @ vector]),
            np.concatenate([match.others, match.scores[added]]),
            frozenset(numbers[name] for name in query.relevant.split()),
            query.cluster,
        )


def ranks(found: Sequence[Pool], fuse: Fuse) -> NDArray[np.int64]:
    """Return the rank of the first right answer of each query, from 1."""
    return np.array([_rank(pool, fuse) for pool in found], dtype=np.int64)


def interval(
    better: NDArray[np.int64], base: NDArray[np.int64], clusters: Sequence[str]
) -> tuple[float, float]:
    """Return the 95 % interval of the difference in R@5, percentage points, resampling whole clusters."""
    names = {name: number for number, name in enumerate(dict.fromkeys(clusters))}
    which = np.array([names[name] for name in clusters])
    gain = 100.0 * ((better <= 5).astype(float) - (base <= 5))
    sums, sizes = np.bincount(which, weights=gain), np.bincount(which)
    rng = np.random.default_rng(0)
    picked = rng.integers(0, len(names), (_RESAMPLES, len(names)))
    means = sums[picked].sum(axis=1) / sizes[picked].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def show(name: str, found: Sequence[Pool]) -> None:
    """Print one corpus' table."""
    base = ranks(found, METHODS[DENSE])
    print(f"\n### {name}: {len(found)} queries\n")
    print("| method | R@1 | R@5 | MRR@10 | Contain@50 | gain in R@5 over dense [95 %] |")
    print("|---|---|---|---|---|---|")
    for method, fuse in METHODS.items():
        rank = ranks(found, fuse)
        low, high = interval(rank, base, [pool.cluster for pool in found])
        gain = 100 * float(np.mean(rank <= 5) - np.mean(base <= 5))
        shares = [100 * float(np.mean(rank <= cut)) for cut in (1, 5)]
        mrr = 100 * float(np.mean(np.where(rank <= 10, 1.0 / rank, 0.0)))
        contained = 100 * float(np.mean(rank <= 50))
        print(
            f"| {method} | {shares[0]:.1f} | {shares[1]:.1f} | {mrr:.1f} | {contained:.1f} "
            f"| {gain:+.1f} [{low:+.1f}, {high:+.1f}] |"
        )


def show_fit(task: Task, encoder: Encoder, plan: Plan) -> None:
    """Fit the fusion to a task's training half and say what that is worth on the other."""
    learnt, test = (
        [_judged(pool) for pool in pools(task, queries, encoder, plan)]
        for queries in (task.train, task.test)
    )
    chosen = best(learnt, plan.fusion)
    for name, before in (("the default", plan.fusion), (DENSE, _blended(plan.fusion, 0.0))):
        found = judged(test, chosen, before, train=len(learnt))
        print(
            f"\n{task.name}: {chosen.method}, weight {chosen.lexical_weight:g}, k {chosen.rrf_k:g},"
            f" chosen on {found.train}; against {name} on {found.test} held-out: R@5"
            f" {found.gain.text(100.0)} pp, MRR@10 {found.gain_mrr.text(100.0)} pp"
        )


def main() -> None:
    """Print the tables; ``--train`` shows the halves on which the choice was made, ``--fit`` makes one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", action="store_true", help="the training halves instead")
    parser.add_argument("--fit", action="store_true", help="fit to the training halves, no tables")
    given = parser.parse_args()
    train = given.train
    use_one_thread()
    plan, manifest = load_plan(SHIPPED / "hybrid@1")
    encoder = Encoder()
    print(f"{manifest.reference} {manifest.hash[:12]}, encoder {encoder.component}")
    try:
        labelled = tasks()
    except DataMissing as missing:
        print(f"only the standard library: {missing}")
        labelled = []
    if given.fit:
        for task in labelled:
            show_fit(task, encoder, plan)
        return
    for task in [standard_library(), *labelled]:
        queries = task.train if train else task.test
        if queries:
            show(task.name, list(pools(task, queries, encoder, plan)))


def _edition(task: Task, encoded: Texts, plan: Plan) -> tuple[Edition, dict[str, int]]:
    row = CollectionRow(1, task.name, "benchmark", "benchmark", encoded.vectors.shape[1], 0)
    stored = [
        StoredPassage(slot, slot + 1, _hit(document), vector, b"")
        for slot, (document, vector) in enumerate(zip(task.documents, encoded.vectors, strict=True))
    ]
    collection = Collection(row, lambda slots: [stored[slot].hit for slot in slots])
    stem = english_stemmer()
    collection.apply([Change.of(each, stem) for each in stored], len(stored))
    given = collection.lexical_input()
    edition = Edition(collection, "benchmark", plan)
    edition.adopt_lexical(lexical_of(given, plan.lexical), given.generation)
    return edition, {each.hit.id: each.slot for each in stored}


def _judged(pool: Pool) -> Judged:
    ids = tuple(str(slot) for slot in pool.slots.tolist())
    right = frozenset(str(slot) for slot in pool.right)
    return Judged(ids, pool.cosine, pool.bm25, right, pool.cluster)


def _blended(plan: FusionPlan, weight: float) -> FusionPlan:
    return msgspec.structs.replace(plan, method="blend", lexical_weight=weight)


def _rank(pool: Pool, fuse: Fuse) -> int:
    order = best_first(fuse(pool.cosine, pool.bm25), len(pool.slots))
    for rank, slot in enumerate(pool.slots[order].tolist(), 1):
        if slot in pool.right:
            return rank
    return _NOT_FOUND


def _searchable(document: Document) -> str:
    """Return the text that an ingest encodes."""
    return f"{document.title}\n{document.text}" if document.title else document.text


def _hit(document: Document) -> Hit:
    return Hit(
        id=document.id,
        article=document.article or document.id,
        title=document.title,
        text=document.text,
        metadata={},
        tenant=document.tenant,
    )


if __name__ == "__main__":
    main()
