"""How far one worker goes: memory per vector, time to build and to search, by size, dimension and kind of index.

    python -m benchmarks.faiss_limits [--sizes 100000x384 1000000x384 ...] [--kinds ivf hnsw] [--json FILE]

Each size runs in a process of its own, in one thread, without bus; a million x 768 takes 7 GiB and, for its
graph, a quarter of an hour. docs/scaling.md says what follows from the figures.
"""

import argparse
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.arguments import without_json
from benchmarks.faiss_child import Measured
from benchmarks.figure import Figure, over_rounds
from benchmarks.report import Report, begin, show
from benchmarks.retriever_data import WORDS_PER_PASSAGE
from benchmarks.worker_memory import TOKENS_PER_PASSAGE, Memory

_SIZES = ("100000x384", "1000000x384", "1000000x768")
_QUICK_SIZES = ("5000x128",)
_WORDS_PASSAGES, _QUICK_PASSAGES = 100_000, 10_000
_SHOWN = (8, 16)
"""Lists visited, of those that the child measures."""


def main() -> int:
    """Measure and report; a missed aim is none here, so the status is 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faiss_limits", description=__doc__)
    parser.add_argument("--sizes", nargs="+", default=list(_SIZES), metavar="NxD")
    parser.add_argument(
        "--kinds", nargs="+", default=["hnsw", "ivf"], choices=("ivf", "ivf_pq", "hnsw")
    )
    parser.add_argument("--requests", type=int, default=500, help="searches, default %(default)s")
    parser.add_argument("--quick", action="store_true", help="only to see that it runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the report there")
    given = parser.parse_args()
    if given.quick:
        given.sizes, given.requests = list(_QUICK_SIZES), 100
    machine = begin("faiss_limits")
    figures: list[Figure] = []
    for size in given.sizes:
        passages, dimension = map(int, size.split("x"))
        figures += _of_size(passages, dimension, given.kinds, given.requests)
    figures += _of_words(_QUICK_PASSAGES if given.quick else _WORDS_PASSAGES)
    command = f"python -m benchmarks.faiss_limits {shlex.join(without_json(sys.argv[1:]))}".strip()
    notes = [
        "One thread, one process, no bus; builds and searches in time on the processor, so that other load does "
        "not count. Recall is the share of the true ten nearest among the first "
        "ten, on synthetic clusters, which are easier than real vectors. FLAT's memory comes with every "
        f"other kind's, for it is their truth; a worker's memory besides is what is in use with {WORDS_PER_PASSAGE} words per passage, "
        "without what its process needs once and what was freed and is kept."
    ]
    report = Report(
        benchmark="faiss_limits", command=command, machine=machine, figures=figures, notes=notes
    )
    show(report, given.json)
    return 0


def _of_size(passages: int, dimension: int, kinds: Sequence[str], requests: int) -> list[Figure]:
    command = ["benchmarks.faiss_child", str(passages), str(dimension), *kinds]
    found = msgspec.json.decode(
        _child([*command, "--requests", str(requests)]), type=list[Measured]
    )
    figures = []
    for kind in dict.fromkeys(each.kind for each in found):
        of_kind = [each for each in found if each.kind == kind]
        about, first = f"{passages:,} x {dimension} {kind}", of_kind[0]
        figures += [
            over_rounds(f"{about}: memory per vector", "B", [first.bytes_per_vector], n=passages),
            over_rounds(f"{about}: build", "s", [first.build_s], n=passages),
        ]
        for each in of_kind:
            if each.nprobe in (0, *_SHOWN):
                how = f"{about} nprobe {each.nprobe}" if each.nprobe else about
                for part, took_ms in (("P50", each.p50_ms), ("P95", each.p95_ms)):
                    name = f"{how}: search {part}, recall {each.recall:.3f}"
                    figures.append(over_rounds(name, "ms", [took_ms], n=requests))
    return figures


def _of_words(passages: int) -> list[Figure]:
    """Return the memory of everything but the index: without token vectors, and with as many as an ingest stores."""
    figures = []
    for tokens in (0, TOKENS_PER_PASSAGE):
        with tempfile.TemporaryDirectory() as state:
            size = ["--passages", str(passages), "--tokens", str(tokens)]
            _child(["benchmarks.worker_memory", "write", state, *size])
            for where in ("memory", "milvus"):
                raw = _child(["benchmarks.worker_memory", where, state])
                found = msgspec.json.decode(raw, type=Memory)
                about = f"worker's memory per passage x 384, vectors in {where}, {tokens} token vectors, no index"
                figures += [
                    over_rounds(about, "B", [found.bytes_per_passage], n=passages),
                    over_rounds(
                        f"{about}: of it BM25", "B", [found.bm25_bytes_per_passage], n=passages
                    ),
                ]
    return figures


def _child(command: Sequence[str]) -> bytes:
    print(f"  {' '.join(command)}", file=sys.stderr)
    return subprocess.run(
        [sys.executable, "-m", *command], stdout=subprocess.PIPE, check=True
    ).stdout


if __name__ == "__main__":
    raise SystemExit(main())
