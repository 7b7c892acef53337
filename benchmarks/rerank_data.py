"""Labelled queries for the reranker: two collections that it learns from, one that it never sees.

``attack``: a sentence of observed behaviour asks for the technique it shows; split by actor. ``opsdocs``:
inverse cloze (Lee, Chang and Toutanova, ACL 2019), a passage's first sentence, taken out of it, asks for
the passage; split by article. ``stdlib``: the same on the shipped corpus, for the test alone.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from trimtab.contracts.documents import Document
from trimtab.corpus import stdlib

DATA = Path(__file__).parents[2] / "shared" / "data"
"""Where the data lies beside a checkout; it is not shipped."""

TRAIN_QUERIES = 4000
TEST_QUERIES = 4000
"""At most, per collection."""

Split = Literal["train", "test"]

MIXED = "mixed"
"""Name of the tasks as one."""

_TEST_SHARE = 0.35
_LEAST_SENTENCES = 3
_LEAST_DOCSTRING_SENTENCES = 2
_LEAST_WORDS = 6
_SENTENCE_END = re.compile(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)(?<!\b\d\.)\s+(?=[A-Z\"'`(\[])")


class DataMissing(Exception):
    """The labelled data is not beside this checkout."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path.name} is not there: put the data sets into ../shared/data beside this checkout"
        )


@dataclass(frozen=True, slots=True)
class Query:
    """One question with one right answer."""

    text: str
    """What is asked."""
    relevant: str
    """Id of the passage that answers it."""
    cluster: str
    """Actor or article: never split between training and test, and resampled whole."""


@dataclass(frozen=True, slots=True)
class Task:
    """A collection and its queries."""

    name: str
    """``attack``, ``opsdocs`` or ``stdlib``."""
    documents: list[Document]
    """What is searched."""
    train: list[Query]
    """Queries of training clusters."""
    test: list[Query]
    """Queries of clusters that training never sees."""
    parts: tuple["Task", ...] = ()
    """Tasks that this one is made of, in the order of its documents and queries; none for one by itself."""


def mixed(learnt: Sequence[Task]) -> Task:
    """Return the tasks as one: every query searches the documents of them all, as in one big collection."""
    return Task(
        MIXED,
        [document for task in learnt for document in task.documents],
        [query for task in learnt for query in task.train],
        [query for task in learnt for query in task.test],
        tuple(learnt),
    )


def asked_of(task: Task, split: Split) -> list[Query]:
    """Return the queries of one split."""
    return task.train if split == "train" else task.test


def tasks(data: Path = DATA) -> list[Task]:
    """Read what the reranker learns from; the same files give the same queries.

    Raises:
        DataMissing: a file is not there.
    """
    return [_attack(data / "attack"), _opsdocs(data / "opsdocs")]


def unseen(modules: Iterable[str] | None = None) -> Task:
    """Return the standard library of this interpreter, or some modules, all queries for the test."""
    passages = _distinct(stdlib.documents(modules))
    found = [query for each in passages for query in _cloze(each, _LEAST_DOCSTRING_SENTENCES)]
    return _clozed(Task(stdlib.COLLECTION, passages, [], _by_chance(found)[:TEST_QUERIES]))


def held_out(cluster: str) -> bool:
    """Whether a cluster is for the test: decided by its name alone, whatever else is in the data."""
    return _fraction(f"cluster/{cluster}") < _TEST_SHARE


def sentences(text: str) -> list[str]:
    """Split a paragraph into sentences; abbreviations and numbered items do not end one."""
    return _SENTENCE_END.split(text.strip())


def _attack(folder: Path) -> Task:
    documents = [
        Document(
            id=row["id"],
            title=row["name"],
            text=row["description"],
            article=row["parent"] or row["id"],
        )
        for row in _rows(folder / "techniques.jsonl")
    ]
    queries = [
        Query(row["text"], row["technique"], row["actor"])
        for row in _rows(folder / "procedures.jsonl")
    ]
    return _split("attack", documents, queries)


def _opsdocs(folder: Path) -> Task:
    passages = _distinct(
        Document(
            id=row["id"],
            title=row["title"],
            text=row["text"],
            article=f"{row['source']}/{row['article']}",
        )
        for row in _rows(folder / "passages.jsonl")
    )
    queries = [query for each in passages for query in _cloze(each, _LEAST_SENTENCES)]
    return _clozed(_split("opsdocs", passages, queries))


def _distinct(passages: Iterable[Document]) -> list[Document]:
    """Keep the first of passages with the same text: a copy would be a second right answer."""
    return list({each.text: each for each in reversed(list(passages))}.values())[::-1]


def _cloze(passage: Document, least_sentences: int) -> Iterator[Query]:
    first, *rest = sentences(passage.text)
    long_enough = min(len(first.split()), len(" ".join(rest).split())) >= _LEAST_WORDS
    if len(rest) + 1 >= least_sentences and long_enough:
        yield Query(" ".join(first.split()), passage.id, passage.article)


def _clozed(task: Task) -> Task:
    """Take the first sentence out of every passage that a query asks for."""
    asked = {query.relevant for query in (*task.train, *task.test)}
    documents = [_beheaded(each) if each.id in asked else each for each in task.documents]
    return replace(task, documents=documents)


def _beheaded(passage: Document) -> Document:
    rest = " ".join(sentences(passage.text)[1:])
    return Document(id=passage.id, title=passage.title, text=rest, article=passage.article)


def _split(name: str, documents: list[Document], queries: Iterable[Query]) -> Task:
    mixed = _by_chance(queries)
    train = [query for query in mixed if not held_out(query.cluster)]
    test = [query for query in mixed if held_out(query.cluster)]
    return Task(name, documents, train[:TRAIN_QUERIES], test[:TEST_QUERIES])


def _by_chance(queries: Iterable[Query]) -> list[Query]:
    """Return the queries in an order that has nothing to do with where they stand."""
    return sorted(queries, key=lambda query: _fraction(f"{query.relevant}/{query.text}"))


def _fraction(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def _rows(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise DataMissing(path)
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
