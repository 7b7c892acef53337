"""IVF lists on a GPU beside the same lists on one CPU thread: search time by lists visited, and their ratio.

    python -m benchmarks.retriever_gpu [--size 1000000x384] [--requests 1000] [--quick] [--json FILE]

Needs faiss-gpu in the place of faiss-cpu and a device; without one it ends with 1 and says what is missing.
``--quick`` then measures a clone on the CPU instead, named so, only to see that it runs.
"""

import argparse
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import retriever_data
from benchmarks.figure import Figure, over_rounds, percentile
from benchmarks.report import Report, begin, show
from services.retriever.dense.flat import faiss, use_one_thread
from services.retriever.dense.gpu import NoDevice, device
from services.retriever.dense.index import DenseIndex, Vectors
from services.retriever.dense.ivf import IvfLists, train_ivf
from services.retriever.dense.ondevice import Clone, OnDevice, ToDevice
from services.retriever.passages.visibility import VisibleSet
from services.retriever.plan import nlist_for

_NPROBES = (8, 32, 64)
_CHANGED = 256
"""Slots laid over the clone: half of what makes a new one due."""

_LIMIT = 50
_SAMPLE_PER_LIST = 64
_ROUNDS = 5


def main() -> int:
    """Measure and report; 1 without a device."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retriever_gpu", description=__doc__)
    parser.add_argument("--size", default="1000000x384", metavar="NxD")
    parser.add_argument("--requests", type=int, default=1000, help="searches per round")
    parser.add_argument("--quick", action="store_true", help="only to see that it runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the report there")
    given = parser.parse_args()
    if given.quick:
        given.size, given.requests = "5000x128", 50
    where, to_device = "GPU", _device()
    if isinstance(to_device, str):
        if not given.quick:
            print(f"no GPU to measure: {to_device}", file=sys.stderr)
            return 1
        where, to_device = "a clone on the CPU", _on_cpu
    machine = begin("retriever_gpu")
    use_one_thread()
    passages, dimension = map(int, given.size.split("x"))
    data = retriever_data.make(passages, given.requests, dimension=dimension)
    figures = _measured(data.vectors, data.queries, where, to_device)
    command = f"python -m benchmarks.retriever_gpu {shlex.join(sys.argv[1:])}".strip()
    notes = [
        f"{passages:,} x {dimension}, {nlist_for(passages)} lists, one query at a time, 50 results, one CPU thread, "
        "no bus. The clone is in full precision and finds what the lists find."
    ]
    show(
        Report(
            benchmark="retriever_gpu",
            command=command,
            machine=machine,
            figures=figures,
            notes=notes,
        ),
        given.json,
    )
    return 0


def _device() -> ToDevice | str:
    """Return what clones to the GPU, or why nothing does."""
    try:
        found = device("gpu")
    except NoDevice as missing:
        return str(missing)
    return found if found is not None else "the CPU was asked for"


def _on_cpu(lists: Any) -> Clone:
    return Clone(faiss.clone_index(lists))


def _failed(where: str) -> None:
    raise SystemExit(f"the device failed: {where}")


def _measured(vectors: Vectors, queries: Vectors, where: str, to_device: ToDevice) -> list[Figure]:
    lists, count = _filled(vectors), len(vectors)
    cloned = OnDevice(lists, to_device, _failed)
    started = time.perf_counter()
    clone = cloned.clone()
    took_s = time.perf_counter() - started
    if clone is None:
        raise SystemExit("the device holds no clone of that size")
    cloned.adopt(clone)
    figures = [over_rounds(f"lists cloned to {where}", "s", [took_s], n=1)]
    seen = VisibleSet(count, True, np.full(-(-count // 8), 255, dtype=np.uint8))
    for nprobe in _NPROBES:
        figures += _beside(lists, cloned, queries, seen, nprobe, where)
    some = np.arange(min(_CHANGED, count), dtype=np.int64)
    cloned.replace(vectors[some], some)
    rounds = [_times(cloned, queries, seen, _NPROBES[0]) for _ in range(_ROUNDS)]
    name = f"nprobe {_NPROBES[0]}, {len(some)} slots changed since the clone: {where} P50"
    figures.append(_p50(name, rounds))
    return figures


def _filled(vectors: Vectors) -> IvfLists:
    nlist = nlist_for(len(vectors))
    picked = np.random.default_rng(7).permutation(len(vectors))[: nlist * _SAMPLE_PER_LIST]
    lists = train_ivf(vectors[np.sort(picked)], nlist)
    lists.extend(vectors, np.arange(len(vectors), dtype=np.int64))
    return lists


def _beside(
    lists: IvfLists, cloned: OnDevice, queries: Vectors, seen: VisibleSet, nprobe: int, where: str
) -> list[Figure]:
    cpu, gpu = [], []
    for _ in range(_ROUNDS):  # in turn, so that both meet the same machine
        cpu.append(_times(lists, queries, seen, nprobe))
        gpu.append(_times(cloned, queries, seen, nprobe))
    ratios = [
        percentile(one, 0.5) / percentile(other, 0.5) for one, other in zip(cpu, gpu, strict=True)
    ]
    n = _ROUNDS * len(queries)
    return [
        _p50(f"nprobe {nprobe}: CPU P50", cpu),
        _p50(f"nprobe {nprobe}: {where} P50", gpu),
        over_rounds(f"nprobe {nprobe}: CPU over {where}", "x", ratios, n=n),
    ]


def _times(index: DenseIndex, queries: Vectors, seen: VisibleSet, nprobe: int) -> list[float]:
    times = []
    for query in queries:
        started = time.perf_counter()
        index.search(query, _LIMIT, seen, nprobe)
        times.append((time.perf_counter() - started) * 1000)
    return times


def _p50(name: str, rounds: Sequence[Sequence[float]]) -> Figure:
    medians = [percentile(each, 0.5) for each in rounds]
    return over_rounds(name, "ms", medians, n=sum(map(len, rounds)))


if __name__ == "__main__":
    sys.exit(main())
