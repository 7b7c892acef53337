"""One lexical engine in a process of its own: ``python -m benchmarks.lexical_peers ENGINE FOLDER``; prints JSON.

Run by :mod:`benchmarks.lexical_engines`, for the peers with the interpreter of an environment of theirs: so
nothing of ours is imported before it is known that ours is asked for. All of them hold the index in memory.
"""

import gc
import importlib
import json
import re
import sqlite3
import sys
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

LIMIT, WARM = 50, 20
ROUND_S = 20.0
"""A round ends after that, however few of its questions an engine has answered."""

SIZES = (1, 64)
_WORD = re.compile(r"\w+")
Rows = Sequence[tuple[int, str]]
"""Number and text of passages."""


class Engine(Protocol):
    """What each must do."""

    def build(self, rows: Rows) -> None:
        """Index all passages, numbered from 0."""

    def upsert(self, rows: Rows) -> None:
        """Index passages, new or known."""

    def search(self, text: str) -> list[int]:
        """Return the numbers of the best passages for any of the words, best first."""

    def rest(self) -> None:
        """Do what the engine does beside the searches; not timed."""


class Ours:
    """The retriever's own, with its terms."""

    def __init__(self) -> None:
        import numpy as np

        from services.retriever.passages.visibility import Visibility
        from services.retriever.plan import SHIPPED, load_plan
        from services.retriever.words.lexical import LexicalIndex
        from services.retriever.words.terms import english_stemmer, terms

        self._np, self._terms, self._stem = np, terms, english_stemmer()
        plan, _ = load_plan(SHIPPED / "hybrid@1")
        self._ids: dict[str, int] = {}
        self._index = LexicalIndex(np.empty(0, dtype=np.int64), [], 0, plan.lexical)
        self._visibility = Visibility()
        self._nothing = np.empty(0, dtype=np.int64)

    def build(self, rows: Rows) -> None:
        """Take them in as one segment."""
        self.upsert(rows)

    def upsert(self, rows: Rows) -> None:
        """Take them in as a segment."""
        ids, stem = self._ids, self._stem
        found = (self._terms(text, stem) for _, text in rows)
        documents = [array("i", [ids.setdefault(t, len(ids)) for t in each]) for each in found]
        slots = self._np.array([number for number, _ in rows], dtype=self._np.int64)
        self._index.put(slots, documents)
        self._visibility.put(slots, ["public"] * len(slots))

    def search(self, text: str) -> list[int]:
        """Search with everything visible."""
        known = [self._ids[t] for t in self._terms(text, self._stem) if t in self._ids]
        visible = self._visibility.of("public")
        found: list[int] = self._index.search(known, LIMIT, visible, self._nothing).slots.tolist()
        return found

    def rest(self) -> None:
        """Merge what is due, as the thread beside the searches does."""
        while merge := self._index.due():
            self._index.adopt(merge, merge.run())


class Tantivy:
    """tantivy-py, ``en_stem``, one writer thread, in memory."""

    def __init__(self) -> None:
        tantivy: Any = importlib.import_module("tantivy")
        schema = tantivy.SchemaBuilder()
        schema.add_integer_field("number", stored=True, indexed=True, fast=True)
        schema.add_text_field("text", stored=False, tokenizer_name="en_stem")
        self._tantivy = tantivy
        self._index = tantivy.Index(schema.build())
        self._writer = self._index.writer(heap_size=256_000_000, num_threads=1)

    def build(self, rows: Rows) -> None:
        """Add and commit."""
        for number, text in rows:
            self._writer.add_document(self._tantivy.Document(number=number, text=text))
        self._show()

    def upsert(self, rows: Rows) -> None:
        """Delete by number, add and commit."""
        for number, text in rows:
            self._writer.delete_documents_by_term("number", number)
            self._writer.add_document(self._tantivy.Document(number=number, text=text))
        self._show()

    def search(self, text: str) -> list[int]:
        """Search for any of the words."""
        query = self._index.parse_query(" ".join(_WORD.findall(text.lower())), ["text"])
        searcher = self._searcher
        hits = searcher.search(query, LIMIT, count=False).hits
        return [searcher.doc(address)["number"][0] for _, address in hits]

    def rest(self) -> None:
        """Its merges run in threads of its own."""

    def _show(self) -> None:
        self._writer.commit()
        self._index.reload()
        self._searcher = self._index.searcher()


class Fts5:
    """FTS5 of the interpreter's SQLite, ``porter unicode61``, in memory; it keeps the texts too."""

    def __init__(self) -> None:
        self._db = sqlite3.connect(":memory:", isolation_level=None)
        self._db.execute("CREATE VIRTUAL TABLE p USING fts5(text, tokenize='porter unicode61')")

    def build(self, rows: Rows) -> None:
        """Insert in one transaction."""
        self._db.execute("BEGIN")
        self._db.executemany("INSERT INTO p (rowid, text) VALUES (?, ?)", rows)
        self._db.execute("COMMIT")

    def upsert(self, rows: Rows) -> None:
        """Replace in one transaction."""
        self._db.execute("BEGIN")
        self._db.executemany("INSERT OR REPLACE INTO p (rowid, text) VALUES (?, ?)", rows)
        self._db.execute("COMMIT")

    def search(self, text: str) -> list[int]:
        """Search for any of the words."""
        query = " OR ".join(f'"{word}"' for word in dict.fromkeys(_WORD.findall(text.lower())))
        found = self._db.execute(
            "SELECT rowid FROM p WHERE p MATCH ? ORDER BY bm25(p) LIMIT ?", (query, LIMIT)
        )
        return [number for (number,) in found]

    def rest(self) -> None:
        """It merges while it writes."""


class Bm25s:
    """bm25s with its English stop words and PyStemmer; knows no changes: each is a whole index."""

    def __init__(self) -> None:
        self._bm25s: Any = importlib.import_module("bm25s")
        self._stemmer = importlib.import_module("Stemmer").Stemmer("english")
        self._texts: list[str] = []

    def build(self, rows: Rows) -> None:
        """Index all."""
        self._texts = [text for _, text in rows]
        self._again()

    def upsert(self, rows: Rows) -> None:
        """Index all again."""
        for number, text in rows:
            if number < len(self._texts):
                self._texts[number] = text
            else:
                self._texts.append(text)
        self._again()

    def search(self, text: str) -> list[int]:
        """Search for any of the words."""
        tokens = self._tokens([text])
        limit = min(LIMIT, len(self._texts))
        found, scores = self._model.retrieve(tokens, k=limit, show_progress=False)
        pairs = zip(found[0].tolist(), scores[0].tolist(), strict=True)
        return [number for number, score in pairs if score > 0]

    def rest(self) -> None:
        """Nothing."""

    def _again(self) -> None:
        self._model = self._bm25s.BM25()
        self._model.index(self._tokens(self._texts), show_progress=False)

    def _tokens(self, texts: list[str]) -> Any:
        return self._bm25s.tokenize(
            texts, stopwords="en", stemmer=self._stemmer, show_progress=False
        )


ENGINES: dict[str, Callable[[], Engine]] = {
    "ours": Ours,
    "tantivy": Tantivy,
    "fts5": Fts5,
    "bm25s": Bm25s,
}


def measure(
    engine: Engine, folder: Path, rounds: int, upserts: int, *, quality: bool
) -> dict[str, Any]:
    """Return what one engine does with the texts and questions of a folder; ``quality`` asks what it found."""
    rows: Rows = list(enumerate(_lines(folder / "passages.txt")))
    questions = list(_lines(folder / "questions.txt"))
    gc.collect()
    before = _resident()
    started = time.perf_counter()
    engine.build(rows)
    build_s = time.perf_counter() - started
    engine.rest()
    gc.collect()
    resident = _resident() - before
    for question in questions[:WARM]:
        engine.search(question)
    found = [engine.search(question) for question in questions] if quality else []
    timed = [sorted(_latencies(engine, questions)) for _ in range(rounds)]
    return {
        "build_s": build_s,
        "memory_mib": resident / 2**20,
        "p50_ms": [each[len(each) // 2] for each in timed],
        "p95_ms": [each[int(0.95 * len(each))] for each in timed],
        "asked": sum(map(len, timed)),
        "found": found,
        "upsert_ms": {size: _changes(engine, rows, size, upserts) for size in SIZES},
    }


def _latencies(engine: Engine, questions: Sequence[str]) -> Iterator[float]:
    """Yield ms of the processor: every engine searches in the thread that calls it."""
    began = time.perf_counter()
    for question in questions:
        started = time.thread_time()
        engine.search(question)
        yield 1000 * (time.thread_time() - started)
        if time.perf_counter() - began > ROUND_S:
            return


def _changes(engine: Engine, rows: Rows, size: int, upserts: int) -> list[float]:
    """Return the ms from an upsert to its being found: half of the passages are known, half new."""
    times, added = [], size - size // 2
    start = len(rows) + (0 if size == SIZES[0] else upserts)
    for turn in range(upserts):
        known = range(turn * size, turn * size + size // 2)
        fresh = range(start + turn * added, start + (turn + 1) * added)
        word = f"zzupsert{size}x{turn}"
        batch = [(number, f"{rows[turn][1]} {word}") for number in (*known, *fresh)]
        started = time.perf_counter()
        engine.upsert(batch)
        while len(engine.search(word)) < min(LIMIT, size):
            pass
        times.append(1000 * (time.perf_counter() - started))
        engine.rest()
    return times


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield line.rstrip("\n")


def _resident() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return 1024 * int(line.split()[1])
    return 0


def main() -> None:
    """Measure one engine."""
    name, folder, rounds, upserts, quality = sys.argv[1:]
    found = measure(
        ENGINES[name](), Path(folder), int(rounds), int(upserts), quality=quality == "quality"
    )
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
