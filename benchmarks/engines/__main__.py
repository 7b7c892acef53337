"""A process of one engine, in its own environment: ``python -m benchmarks.engines build|serve NAME ...``.

``build NAME VECTORS FOLDER`` indexes a file of vectors. ``serve NAME FOLDER QUERIES THREADS LIMIT`` opens the
index and obeys JSON lines on stdin: ``{"find", "effort", "keep"}`` answers ``{"ids"}``, ``{"measure",
"effort"}`` answers ``{"latencies_ms", "elapsed_s"}``; both name queries by number. Answers begin with ``@``.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.engines.engine import Engine, Vectors
from benchmarks.engines.roster import engine


def build(name: str, vectors: Path, folder: Path) -> None:
    """Index a file of vectors and say how long it took; reading the file is part of it for everybody."""
    made = engine(name)
    started = time.perf_counter()
    made.build(np.load(vectors, mmap_mode="r"), folder)
    _say({"build_s": time.perf_counter() - started})


def serve(name: str, folder: Path, queries: Path, threads: int, limit: int) -> None:
    """Open the index and answer until stdin ends."""
    if threads < len(os.sched_getaffinity(0)):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])
    opened = engine(name)
    opened.open(folder, threads)
    asked: Vectors = np.load(queries)
    _say({key: getattr(opened, key) for key in ("setup", "knob", "least", "most")})
    for line in sys.stdin:
        command = json.loads(line)
        if "find" in command:
            rows = (opened.search(asked[n], limit, command["effort"]) for n in command["find"])
            _say({"ids": [[int(row) for row in found[: command["keep"]]] for found in rows]})
        else:
            _say(measure(opened, [asked[n] for n in command["measure"]], limit, command["effort"]))


def measure(opened: Engine, asked: Sequence[Vectors], limit: int, effort: int) -> dict[str, object]:
    """Search one query after another and return what each took."""
    latencies_ms = []
    begun = time.perf_counter()
    for query in asked:
        started = time.perf_counter_ns()
        opened.search(query, limit, effort)
        latencies_ms.append((time.perf_counter_ns() - started) / 1e6)
    return {"latencies_ms": latencies_ms, "elapsed_s": time.perf_counter() - begun}


def _say(answer: dict[str, object]) -> None:
    print("@" + json.dumps(answer), flush=True)


def main() -> None:
    """Obey the command line."""
    verb, name, *rest = sys.argv[1:]
    if verb == "build":
        vectors, folder = map(Path, rest)
        build(name, vectors, folder)
    else:
        folder, queries = map(Path, rest[:2])
        serve(name, folder, queries, int(rest[2]), int(rest[3]))


if __name__ == "__main__":
    main()
