"""One size of collection in a process of its own: memory per vector, time to build, time to search, recall.

Started by :mod:`benchmarks.faiss_limits`; prints one JSON line.
"""

import argparse
import ctypes
import gc
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from benchmarks import retriever_data
from benchmarks.figure import percentile
from services.retriever.dense.flat import FlatVectors, use_one_thread
from services.retriever.dense.index import DenseIndex, Nearest, Slots, Vectors, nearest
from services.retriever.dense.kinds import sample_size, train
from services.retriever.passages.visibility import VisibleSet
from services.retriever.plan import SHIPPED, IndexPlan, load_plan, nlist_for

LIMIT = 50
"""Results per search: what a request asks for."""

NPROBES = (8, 16, 32, 64)
_CHUNK = 16_384
_TRUTHS = 100
_AT = 10


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of index over one size of collection."""

    kind: str
    """flat, ivf, ivf_pq, hnsw."""
    nprobe: int
    """Lists visited; 0 for flat."""
    bytes_per_vector: float
    """Resident memory that it added."""
    build_s: float
    """Training and filling, in one thread: time on the processor."""
    p50_ms: float
    """Median search of the 50 nearest, in one thread, without bus, words or texts: time on the processor."""
    p95_ms: float
    """95th percentile of the same."""
    recall: float
    """Share of the true ten nearest among its first ten."""


def main() -> int:
    """Measure what the parent asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("passages", type=int)
    parser.add_argument("dimension", type=int)
    parser.add_argument("kinds", nargs="+")
    parser.add_argument("--requests", type=int, default=500)
    given = parser.parse_args()
    use_one_thread()
    data = retriever_data.make(given.passages, given.requests, dimension=given.dimension)
    queries = data.queries
    flat, found, vectors = FlatVectors(given.dimension), [], data.vectors
    del data
    before = resident()
    started = time.process_time()
    for start in range(0, given.passages, _CHUNK):
        slots = np.arange(start, min(start + _CHUNK, given.passages), dtype=np.int64)
        flat.put(slots, vectors[slots])
    build_s = time.process_time() - started
    # The memory was reserved before it was touched: what the vectors took is what they hold.
    taken = max(resident() - before, flat.size * 4 * given.dimension)
    del vectors
    truth = [_best(flat.search(query, _AT, _all(flat.size))) for query in queries[:_TRUTHS]]
    timed = _timed(lambda query: flat.search(query, LIMIT, _all(flat.size)), queries[:_TRUTHS])
    found.append(_line("flat", 0, taken / given.passages, build_s, timed, 1.0))
    for kind in given.kinds:
        if kind != "flat":
            found += _approximate(_plan_of(kind), flat, queries, truth)
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    return 0


def resident() -> int:
    """Return the bytes of memory in use: not pages of files, nor what was freed and is kept for later."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"RssAnon:\s+(\d+) kB", status)[1])  # type: ignore[index]  # Linux has it


def _approximate(
    plan: IndexPlan, flat: FlatVectors, queries: Vectors, truth: list[set[int]]
) -> list[Measured]:
    before, started = resident(), time.process_time()
    index = _built(plan, flat)
    build_s, taken = time.process_time() - started, resident() - before
    lines = []
    for nprobe in NPROBES:

        def search(query: Vectors, nprobe: int = nprobe) -> Nearest:
            visible = _all(flat.size)
            return nearest(index, flat.vectors, query, LIMIT, visible, nprobe, plan.refine)

        timed = _timed(search, queries)
        agreed = [
            len(_best(search(query)) & true) for query, true in zip(queries, truth, strict=False)
        ]
        recall = sum(agreed) / (_AT * len(agreed))
        lines.append(_line(plan.kind, nprobe, taken / flat.size, build_s, timed, recall))
    return lines


def _plan_of(kind: str) -> IndexPlan:
    """Return the shipped component's index when it is of that kind, else one with every default."""
    shipped, _ = load_plan(SHIPPED / "hybrid@1")
    if shipped.index.kind == kind:
        return shipped.index
    return msgspec.convert({"kind": kind}, IndexPlan)


def _built(plan: IndexPlan, flat: FlatVectors) -> DenseIndex:
    nlist = nlist_for(flat.size)
    rng = np.random.default_rng(7)
    picked: Slots = np.sort(rng.permutation(flat.size)[: sample_size(plan, nlist)])
    index = train(plan, flat.dimension, flat.vectors(picked), nlist)
    for start in range(0, flat.size, _CHUNK):
        slots = np.arange(start, min(start + _CHUNK, flat.size), dtype=np.int64)
        index.extend(flat.vectors(slots), slots)
    return index


def _timed(search: Callable[[Vectors], Nearest], queries: Vectors) -> list[float]:
    """Return the milliseconds that each search computed: not what it waited for a core that others used."""
    for query in queries[:20]:
        search(query)
    took = []
    for query in queries:
        started = time.thread_time()
        search(query)
        took.append(1000 * (time.thread_time() - started))
    return took


def _line(
    kind: str, nprobe: int, taken: float, build_s: float, timed: list[float], recall: float
) -> Measured:
    return Measured(
        kind=kind,
        nprobe=nprobe,
        bytes_per_vector=taken,
        build_s=build_s,
        p50_ms=percentile(timed, 0.5),
        p95_ms=percentile(timed, 0.95),
        recall=recall,
    )


def _best(found: Nearest) -> set[int]:
    return set(found.slots[:_AT].tolist())


def _all(size: int) -> VisibleSet:
    return VisibleSet(size, True, np.zeros(1, dtype=np.uint8))


if __name__ == "__main__":
    raise SystemExit(main())
