"""What training saw, by article or actor, so that queries about it are told from held-out ones. Pure but for reading.

A file is JSON lines that name an ``article``, ``actor`` or ``cluster`` each, as files of passages and of
queries do, or plain text with one name per line.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from trimtab.evaluation.queries import BadQueries, Query


class _Line(msgspec.Struct, frozen=True):
    article: str = ""
    actor: str = ""
    cluster: str = ""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Queries with those left out that training may have seen the answer of."""

    queries: list[Query]
    """Of articles and actors that training did not see."""
    left_out: int
    """Queries of ones that it saw."""
    trained_on: int
    """Articles and actors that it saw."""

    def shape(self) -> dict[str, int]:
        """Return the counts for a record."""
        return {"trained_on": self.trained_on, "left_out": self.left_out}


def read_trained(path: Path) -> frozenset[str]:
    """Return the articles and actors that a file names.

    Raises:
        BadQueries: it cannot be read, a line names none, or there is none at all.
    """
    parse = _json_line if path.suffix.lower() in (".jsonl", ".ndjson") else _text_line
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        raise BadQueries(f"{path.name} cannot be read as UTF-8 text") from None
    numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
    names = frozenset(parse(path.name, number, line) for number, line in numbered)
    if not names:
        raise BadQueries(f"{path.name} names no article; write one per line")
    return names


def held_out(queries: Sequence[Query], trained: frozenset[str]) -> HeldOut:
    """Return the queries whose cluster training did not see.

    Raises:
        BadQueries: one names no cluster, so that nobody can tell.
    """
    unknown = next((query.id for query in queries if not query.cluster), None)
    if unknown is not None:
        raise BadQueries(
            f"query {unknown} names no cluster, so nobody can tell whether training saw it; "
            'write "cluster": the article or actor of its answer'
        )
    kept = [query for query in queries if query.cluster not in trained]
    return HeldOut(kept, len(queries) - len(kept), len(trained))


def _json_line(name: str, number: int, line: str) -> str:
    try:
        found = msgspec.json.decode(line, type=_Line)
    except msgspec.DecodeError as error:
        raise BadQueries(f"{name}:{number}: {error}; write {{article}}") from None
    named = found.article or found.actor or found.cluster
    if not named:
        raise BadQueries(f"{name}:{number}: no article, actor or cluster; write {{article}}")
    return named


def _text_line(_name: str, _number: int, line: str) -> str:
    return line.strip()
