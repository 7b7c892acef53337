"""Our lexical engine beside tantivy, SQLite FTS5 and bm25s: ``python -m benchmarks.lexical_engines [--long]``.

The same texts and questions for all, each engine with its own analysis of English, in a process of its own, one
after another. Quality on ATT&CK and on the ops documentation (:mod:`benchmarks.rerank_data`), the test halves;
speed there and on synthetic passages whose words are as frequent as those of documentation, 100,000 and with --long a million.
"""

import json
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import arguments, environments, report
from benchmarks.figure import Figure, over_rounds
from benchmarks.processes import checked
from benchmarks.rerank_data import DataMissing, Query, tasks
from benchmarks.retriever_data import WORDS_PER_PASSAGE, WORDS_PER_QUERY, words
from benchmarks.retriever_fusion import interval

ENGINES: dict[str, tuple[str, ...] | None] = {
    "ours": None,
    "tantivy": ("tantivy==0.25.1",),
    "fts5": None,
    "bm25s": ("bm25s==0.3.16", "PyStemmer==3.0.0"),
}
"""Name -> packages of an environment of its own; None runs in ours."""

_NOT_FOUND = 1 << 30
_REBUILDS = 1
"""Upserts timed of an engine that indexes everything for each."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """Texts, questions and, where it is known, the passages that answer them."""

    name: str
    passages: list[str]
    questions: list[str]
    answers: list[int]
    """Number of the right passage of each question; empty when the texts mean nothing."""
    clusters: list[str]
    """Of each question: resampled whole."""


def real() -> Iterator[Corpus]:
    """Yield the labelled collections, the test halves of their queries."""
    for task in tasks():
        numbers = {document.id: number for number, document in enumerate(task.documents)}
        asked: list[Query] = task.test
        yield Corpus(
            task.name,
            [_line(f"{document.title} {document.text}") for document in task.documents],
            [_line(query.text) for query in asked],
            [numbers[query.relevant] for query in asked],
            [query.cluster for query in asked],
        )


def synthetic(passages: int, questions: int) -> Corpus:
    """Return passages of synthetic words; the same numbers give the same ones."""
    rng = np.random.default_rng(passages)
    return Corpus(
        f"synthetic {passages:,}",
        [words(rng, WORDS_PER_PASSAGE) for _ in range(passages)],
        [words(rng, WORDS_PER_QUERY) for _ in range(questions)],
        [],
        [],
    )


def measured(corpus: Corpus, rounds: int, upserts: int) -> dict[str, dict[str, Any]]:
    """Return what each engine did with a corpus."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "passages.txt").write_text("\n".join(corpus.passages), encoding="utf-8")
        (folder / "questions.txt").write_text("\n".join(corpus.questions), encoding="utf-8")
        found = {}
        for engine, packages in ENGINES.items():
            print(f"{corpus.name}: {engine}", file=sys.stderr)
            python = sys.executable
            if packages is not None:
                python = str(environments.ensure(f"lexical-{engine}", *packages))
            turns = min(upserts, _REBUILDS) if engine == "bm25s" else upserts
            wanted = "quality" if corpus.answers else "speed"
            module = (
                "-m",
                "benchmarks.lexical_peers",
                engine,
                name,
                str(rounds),
                str(turns),
                wanted,
            )
            found[engine] = json.loads(checked(python, *module))
        return found


def figures(corpus: Corpus, found: dict[str, dict[str, Any]]) -> Iterator[Figure]:
    """Yield the table's lines of one corpus."""
    size = len(corpus.passages)
    for engine, result in found.items():
        name = f"{corpus.name} ({size:,}), {engine}"
        asked = result["asked"]
        yield over_rounds(f"{name}: query p50", "ms", result["p50_ms"], n=asked)
        yield over_rounds(f"{name}: query p95", "ms", result["p95_ms"], n=asked)
        yield over_rounds(f"{name}: build", "s", [result["build_s"]], n=1)
        yield over_rounds(f"{name}: memory", "MiB", [result["memory_mib"]], n=1)
        for count, times in result["upsert_ms"].items():
            yield over_rounds(f"{name}: upsert of {count} until found", "ms", times, n=len(times))


def quality(corpus: Corpus, found: dict[str, dict[str, Any]]) -> str:
    """Return R@5 of each engine, and its difference to ours with its 95 % interval."""
    ranks = {name: _ranks(result["found"], corpus.answers) for name, result in found.items()}
    lines = [f"| {corpus.name}, {len(corpus.questions):,} questions | R@5 | MRR@10 | less ours |"]
    lines.append("|---|---|---|---|")
    for name, rank in ranks.items():
        low, high = interval(rank, ranks["ours"], corpus.clusters)
        less = 100 * float(np.mean(rank <= 5) - np.mean(ranks["ours"] <= 5))
        mrr = 100 * float(np.mean(np.where(rank <= 10, 1.0 / rank, 0.0)))
        lines.append(
            f"| {name} | {100 * float(np.mean(rank <= 5)):.1f} | {mrr:.1f} "
            f"| {less:+.1f} [{low:+.1f}, {high:+.1f}] |"
        )
    return "\n".join(lines)


def _ranks(found: Sequence[Sequence[int]], answers: Sequence[int]) -> NDArray[np.int64]:
    return np.array(
        [
            each.index(answer) + 1 if answer in each else _NOT_FOUND
            for each, answer in zip(found, answers, strict=True)
        ],
        dtype=np.int64,
    )


def _line(text: str) -> str:
    return " ".join(text.split())


def main() -> None:
    """Measure every engine on every corpus and print the tables."""
    own = ArgumentParser(add_help=False)
    own.add_argument("--long", action="store_true")
    own.add_argument("--only-synthetic", action="store_true")
    chosen, rest = own.parse_known_args(sys.argv[1:])
    given = arguments.read("lexical_engines", __doc__, rounds=3, requests=500, argv=rest)
    facts = report.begin("lexical_engines")
    notes = [
        "Each engine with its own analysis of English, in memory. Queries in ms of the processor, one thread; "
        "the 50 best. Builds and upserts in wall time, so that other load counts there. What an engine does beside "
        "the searches (our merges) is done between upserts, untimed."
    ]
    corpora: list[Corpus] = []
    try:
        corpora += [] if chosen.only_synthetic else list(real())
    except DataMissing as missing:
        notes.append(f"Without quality: {missing}")
    sizes = [10_000] if given.quick else [100_000, *([1_000_000] if chosen.long else [])]
    corpora += [synthetic(size, given.requests) for size in sizes]
    lines: list[Figure] = []
    for corpus in corpora:
        found = measured(corpus, given.rounds, 5 if given.quick else 20)
        lines += figures(corpus, found)
        if corpus.answers:
            notes.append(quality(corpus, found))
    typed = " ".join(arguments.without_json(sys.argv[1:]))
    command = f"python -m benchmarks.lexical_engines {typed}".rstrip()
    report.show(
        report.Report(
            benchmark="lexical_engines", command=command, machine=facts, figures=lines, notes=notes
        ),
        given.json,
    )


if __name__ == "__main__":
    main()
