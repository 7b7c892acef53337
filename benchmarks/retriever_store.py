"""Where passages are kept: SQLite beside LMDB, 10,000 passages: ``python -m benchmarks.retriever_store``.

Writes batches of 256 passages, each one transaction with a look-up by id before it, as the retriever does; reads
50 random passages by number, as a search does. LMDB is no dependency of ours: ``pip install lmdb`` first.
"""

import importlib
import importlib.util
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np

from benchmarks import arguments, report
from benchmarks.figure import Figure, over_rounds
from trimtab.contracts.retrieve import Hit

PASSAGES, BATCH, READ = 10_000, 256, 50
_TEXT_CHARS, _TOKENS, _TOKEN_DIMENSION, _DIMENSION = 600, 90, 128, 384
_decoder = msgspec.msgpack.Decoder(Hit)


@dataclass(frozen=True, slots=True)
class Row:
    """One passage as bytes."""

    number: int
    hit: bytes
    vector: bytes
    tokens: bytes


class Engine(Protocol):
    """What both must do."""

    def write(self, rows: list[Row]) -> None:
        """Write a batch as one transaction."""

    def read(self, numbers: list[int]) -> list[Hit]:
        """Return passages in order."""

    def close(self) -> None:
        """Let go of the file."""


class Sqlite:
    """As the retriever uses it: WAL, ``synchronous=NORMAL``, vectors in a table of their own."""

    def __init__(self, folder: Path) -> None:
        self._db = sqlite3.connect(folder / "passages.db", isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("PRAGMA mmap_size = 268435456")
        self._db.execute("CREATE TABLE p (row INTEGER PRIMARY KEY, id TEXT UNIQUE, hit BLOB)")
        self._db.execute("CREATE TABLE v (row INTEGER PRIMARY KEY, vector BLOB, tokens BLOB)")

    def write(self, rows: list[Row]) -> None:
        """Look up, then insert, in one transaction."""
        self._db.execute("BEGIN IMMEDIATE")
        for row in rows:
            self._db.execute("SELECT row FROM p WHERE id = ?", (f"p{row.number}",)).fetchone()
            self._db.execute(
                "INSERT INTO p VALUES (?, ?, ?)", (row.number, f"p{row.number}", row.hit)
            )
            self._db.execute("INSERT INTO v VALUES (?, ?, ?)", (row.number, row.vector, row.tokens))
        self._db.execute("COMMIT")

    def read(self, numbers: list[int]) -> list[Hit]:
        """Read by one statement."""
        marks = ",".join("?" * len(numbers))
        found = dict(self._db.execute(f"SELECT row, hit FROM p WHERE row IN ({marks})", numbers))
        return [_decoder.decode(found[number]) for number in numbers]

    def close(self) -> None:
        """Close the file."""
        self._db.close()


class Lmdb:
    """One environment, one database per kind of value; ``sync`` as it comes: every commit waits for the disk."""

    def __init__(self, folder: Path) -> None:
        lmdb: Any = importlib.import_module("lmdb")
        self._env = lmdb.open(str(folder), map_size=1 << 32, max_dbs=4)
        self._ids, self._hits, self._vectors, self._tokens = (
            self._env.open_db(name) for name in (b"ids", b"hits", b"vectors", b"tokens")
        )

    def write(self, rows: list[Row]) -> None:
        """Look up, then insert, in one transaction."""
        with self._env.begin(write=True) as change:
            for row in rows:
                key, name = row.number.to_bytes(8, "big"), f"p{row.number}".encode()
                change.get(name, db=self._ids)
                change.put(name, key, db=self._ids)
                change.put(key, row.hit, db=self._hits)
                change.put(key, row.vector, db=self._vectors)
                change.put(key, row.tokens, db=self._tokens)

    def read(self, numbers: list[int]) -> list[Hit]:
        """Read one by one from the memory map."""
        with self._env.begin(buffers=True) as view:
            return [
                _decoder.decode(view.get(number.to_bytes(8, "big"), db=self._hits))
                for number in numbers
            ]

    def close(self) -> None:
        """Close the environment."""
        self._env.close()


def passages() -> Iterator[Row]:
    """Yield passages of the size of the ops documentation's."""
    rng = np.random.default_rng(0)
    for number in range(PASSAGES):
        hit = Hit(
            id=f"p{number}",
            article=f"a{number // 10}",
            title="A title",
            text="x" * int(rng.integers(_TEXT_CHARS // 4, 2 * _TEXT_CHARS)),
            metadata={},
            tenant="public",
        )
        tokens = int(rng.integers(_TOKENS // 4, 2 * _TOKENS))
        yield Row(
            number,
            msgspec.msgpack.encode(hit),
            rng.bytes(4 * _DIMENSION),
            rng.bytes(tokens * _TOKEN_DIMENSION),
        )


def measure(
    make: Callable[[Path], Engine], rows: list[Row], reads: int
) -> tuple[float, float, float]:
    """Return passages written per second, and the p50 and p95 of reading 50 in microseconds."""
    picked = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        engine = make(Path(folder))
        started = time.perf_counter()
        for start in range(0, len(rows), BATCH):
            engine.write(rows[start : start + BATCH])
        rate = len(rows) / (time.perf_counter() - started)
        taken = []
        for _ in range(reads):
            numbers = picked.sample(range(len(rows)), READ)
            started = time.perf_counter()
            engine.read(numbers)
            taken.append(1e6 * (time.perf_counter() - started))
        engine.close()
    return rate, float(np.percentile(taken, 50)), float(np.percentile(taken, 95))


def main() -> None:
    """Measure every engine that is installed and print the table."""
    given = arguments.read("retriever_store", __doc__, rounds=5, requests=500)
    facts = report.begin("retriever_store")
    engines: dict[str, Callable[[Path], Engine]] = {"SQLite": Sqlite}
    if importlib.util.find_spec("lmdb"):
        engines["LMDB"] = Lmdb
    else:
        print("LMDB is left out: pip install lmdb", file=sys.stderr)
    rows = list(passages())
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in engines}
    for _ in range(given.rounds):
        for name, make in engines.items():
            found[name].append(measure(make, rows, given.requests))
    figures: list[Figure] = []
    for name, rounds in found.items():
        rate, p50, p95 = zip(*rounds, strict=True)
        reads = given.rounds * given.requests
        figures += [
            over_rounds(f"{name}: write", "passages/s", rate, n=given.rounds * PASSAGES),
            over_rounds(f"{name}: read {READ} p50", "us", p50, n=reads),
            over_rounds(f"{name}: read {READ} p95", "us", p95, n=reads),
        ]
    report.show(
        report.Report(
            benchmark="retriever_store", command=given.command, machine=facts, figures=figures
        ),
        given.json,
    )


if __name__ == "__main__":
    main()
