"""Queries for measuring: held-out texts, with the passages that answer them where somebody said which.

A file holds one query per line: JSON ``{"id", "text", "relevant"?, "cluster"?, "context"?, "exclude"?}`` in ``.jsonl``, or plain
text in any other. Made-up vectors never come in here: recall on them says nothing of what people ask.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np


class BadQueries(ValueError):
    """A file of queries cannot be used; says which line and what to do."""


class _Line(msgspec.Struct, frozen=True):
    text: str
    id: str | int = ""
    relevant: list[str] = []
    cluster: str = ""
    context: list[str] = []
    exclude: list[str] = []


@dataclass(frozen=True, slots=True)
class Query:
    """One question."""

    id: str
    """Unique in its file."""
    text: str
    """Not blank."""
    relevant: tuple[str, ...] = ()
    """Ids of the passages that answer it; empty when nobody said."""
    cluster: str = ""
    """What it belongs with, an article or an actor: such queries are no independent evidence."""
    context: tuple[str, ...] = ()
    """Texts read or asked before, oldest first: for contextual query models, through the gateway."""
    exclude: tuple[str, ...] = ()
    """Ids that must not come out: the context's own passages."""


def read(path: Path) -> list[Query]:
    """Return the queries of a file in order.

    Raises:
        BadQueries: a line is no query, an id occurs twice, or there is none at all.
    """
    parse = _json_line if path.suffix.lower() in (".jsonl", ".ndjson") else _text_line
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        raise BadQueries(f"{path.name} cannot be read as UTF-8 text") from None
    numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
    found = [parse(path.name, number, line) for number, line in numbered]
    if not found:
        raise BadQueries(f"{path.name} holds no queries; write one per line")
    ids: set[str] = set()
    for query in found:
        if query.id in ids:
            raise BadQueries(f"{path.name}: the id {query.id!r} occurs twice; ids must be unique")
        ids.add(query.id)
    return found


def choose(queries: Sequence[Query], count: int, seed: int) -> list[Query]:
    """Return ``count`` of the queries, all when there are fewer; the same seed chooses the same ones."""
    if len(queries) <= count:
        return list(queries)
    picked = np.random.default_rng(seed).permutation(len(queries))[:count]
    return [queries[number] for number in sorted(picked.tolist())]


def digest(queries: Iterable[Query]) -> str:
    """Return 16 hex digits of ids, texts, contexts and answers: equal ones ask the same."""
    rows = sorted(
        (each.id, each.text, sorted(each.relevant), each.context, sorted(each.exclude))
        for each in queries
    )
    return hashlib.sha256(msgspec.json.encode(rows)).hexdigest()[:16]


def _json_line(name: str, number: int, line: str) -> Query:
    try:
        found = msgspec.json.decode(line, type=_Line)
    except msgspec.DecodeError as error:
        raise BadQueries(
            f"{name}:{number}: {error}; write {{id, text, relevant, cluster}}"
        ) from None
    if not found.text.strip():
        raise BadQueries(f"{name}:{number}: the text is blank; leave the line out")
    return Query(
        str(found.id) or str(number),
        found.text,
        tuple(found.relevant),
        found.cluster,
        tuple(found.context),
        tuple(found.exclude),
    )


def _text_line(_name: str, number: int, line: str) -> Query:
    return Query(str(number), line.strip())
