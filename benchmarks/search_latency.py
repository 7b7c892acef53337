"""Searches and reranking through the bus beside other engines at equal recall: ``python -m benchmarks.search_latency``.

For each size: our index in process and our service over the bus at nprobe 4, 8, 12 and 16, what the reranker
adds, then each peer with its knob tuned until it finds as much as we do. Peers run in processes of their own,
without a bus, with one core and with two.

``--sizes`` takes 6k6, 100k, 1m384, 1m768 or NxD; ``--peers`` a selection. A run that was interrupted goes on
with the indexes that stand; ``--build-only`` makes them and ends, ``--keep`` leaves them for another run.
"""

import argparse
import shutil
import sys
from pathlib import Path

import faiss as _typed_faiss
import uvloop

from benchmarks import arguments, report
from benchmarks.engines.roster import PEERS
from benchmarks.figure import Figure
from benchmarks.machine import Machine
from benchmarks.rounds import Plan
from benchmarks.search_findings import Found
from benchmarks.search_sample import QUERIES
from benchmarks.search_sizes import NAMED, Size, size_of
from benchmarks.search_stages import LIMIT, Stages

DEFAULT = ("6k6", "100k")
FOLDER = Path("var/bench/search_latency")

_NOTES = (
    f"Everybody is asked for {LIMIT} candidates of {QUERIES:,} held-out queries, one at a time: one half tunes "
    "each peer's knob to our recall@10 at the shipped nprobe, the other half is measured. Peers and our index in "
    "process search inside their own process and return row numbers; over the bus our service also sends the "
    "passages and the reranker's signals. Ratios above 1: the peer takes longer.",
    "The vectors are a mixture of about as many clusters as an IVF index has lists, with noise in every "
    "dimension: that favours IVF over graphs. Ours searches with one thread however many cores there are.",
)


class Kept:
    """The report as far as it got, written whenever there is more of it."""

    def __init__(self, machine: Machine, given: arguments.Arguments, seed: int) -> None:
        typed = " ".join(arguments.without_json(sys.argv[1:]))
        self._command = f"python -m benchmarks.search_latency {typed}".rstrip()
        self._machine, self._given = machine, given
        self._seed = seed
        self.found: list[Found] = []

    def report(self) -> report.Report:
        """Return it."""
        lines: list[Figure] = []
        notes = [*_NOTES, f"Seed {self._seed}."]
        for each in self.found:
            lines += each.figures()
            notes += each.said()
        return report.Report(
            benchmark="search_latency",
            command=self._command,
            machine=self._machine,
            figures=lines,
            notes=notes,
        )

    def keep(self) -> None:
        """Write it, if there is a file for it."""
        if self._given.json is not None:
            report.save(self.report(), self._given.json)


def main() -> None:
    """Run the benchmark for each size and print its table."""
    own, rest = _own().parse_known_args(sys.argv[1:])
    given = arguments.read("search_latency", __doc__, rounds=5, requests=500, argv=rest)
    sizes: list[Size] = own.sizes or [
        NAMED[name] for name in (DEFAULT[:1] if given.quick else DEFAULT)
    ]
    kept = Kept(report.begin("search_latency"), given, own.seed)
    _typed_faiss.omp_set_num_threads(1)
    for size in sizes:
        folder = FOLDER / f"{size.passages}x{size.dimension}-{own.seed}"
        plan = Plan(given.rounds, given.requests)
        stages = Stages(size, folder, own.peers, plan, own.seed, own.build_timeout, kept.keep)
        if own.build_only:
            uvloop.run(stages.load())
            continue
        kept.found.append(stages.found)
        uvloop.run(stages.run())
        if not own.keep:
            shutil.rmtree(folder)
    if kept.found:
        report.show(kept.report(), given.json)


def _own() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--sizes", type=_size, nargs="+", default=[])
    parser.add_argument("--peers", choices=PEERS, nargs="*", default=list(PEERS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--build-timeout", type=float, default=3600.0)
    parser.add_argument("--build-only", action="store_true")
    parser.add_argument("--keep", action="store_true")
    return parser


def _size(text: str) -> Size:
    try:
        return size_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    main()
