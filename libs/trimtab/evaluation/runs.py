"""Evaluations on disk: each query's ranking as JSON lines, and one compact line per run in a history.

The lines of a run are ``{"query_id", "relevant" or "gold_id", "top_k", "cluster"?}``; what else stands in them
is left alone, so rankings made elsewhere can be compared too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from trimtab.evaluation.metrics import Values, measure
from trimtab.evaluation.queries import Query


class BadRun(ValueError):
    """A file of rankings cannot be used; says which line and what to do."""


class _Line(msgspec.Struct, frozen=True):
    query_id: str
    top_k: list[str]
    relevant: list[str] = []
    gold_id: str = ""
    cluster: str = ""


@dataclass(frozen=True, slots=True)
class Ranking:
    """What one query found."""

    query_id: str
    """Of its query."""
    relevant: tuple[str, ...]
    """Ids that answer it; at least one."""
    top_k: tuple[str, ...]
    """Ids found, best first."""
    cluster: str
    """What it belongs with."""


def ranking_of(query: Query, ids: Sequence[str]) -> Ranking:
    """Return what a query found, as a run keeps it."""
    return Ranking(query.id, query.relevant, tuple(ids), query.cluster)


def measured(run: Sequence[Ranking]) -> dict[str, Values]:
    """Return every metric of every query of a run."""
    return measure([each.top_k for each in run], [each.relevant for each in run])


def write_run(path: Path, run: Sequence[Ranking]) -> None:
    """Write one line per query; raises OSError where the file cannot be written."""
    lines = [
        msgspec.json.encode(
            {
                "query_id": each.query_id,
                "relevant": each.relevant,
                "cluster": each.cluster,
                "top_k": each.top_k,
            }
        )
        for each in run
    ]
    path.write_bytes(b"".join(line + b"\n" for line in lines))


def read_run(path: Path) -> list[Ranking]:
    """Return the rankings of a file.

    Raises:
        BadRun: a line is no ranking, says nothing relevant, or its query occurs twice.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise BadRun(f"{path.name} cannot be read: {error.strerror}") from None
    numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
    run = [_parse(path.name, number, line) for number, line in numbered]
    if not run:
        raise BadRun(f"{path.name} holds no rankings; `trimtab eval run --hits FILE` writes them")
    if len({each.query_id for each in run}) < len(run):
        raise BadRun(f"{path.name}: a query occurs twice; each must stand there once")
    return run


def aligned(before: Sequence[Ranking], after: Sequence[Ranking]) -> list[tuple[Ranking, Ranking]]:
    """Return the two runs query by query, in the order of the first.

    Raises:
        BadRun: they are not of the same queries, or disagree on what is relevant.
    """
    by_id = {each.query_id: each for each in after}
    missing = [each.query_id for each in before if each.query_id not in by_id]
    if missing or len(before) != len(after):
        more = sorted(set(by_id) - {each.query_id for each in before})
        raise BadRun(
            f"not the same queries: {len(missing)} only before, {len(more)} only after "
            f"({', '.join([*missing, *more][:3])}); evaluate the same file of queries"
        )
    pairs = [(each, by_id[each.query_id]) for each in before]
    for one, other in pairs:
        if set(one.relevant) != set(other.relevant):
            raise BadRun(
                f"query {one.query_id} has other relevant ids before than after; "
                "evaluate the same file of queries"
            )
    return pairs


def append_history(path: Path, record: Mapping[str, Any]) -> None:
    """Append one run as one line, in one write: lines of two runs never mix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as history:
        history.write(msgspec.json.encode(dict(record)) + b"\n")


def _parse(name: str, number: int, line: bytes) -> Ranking:
    try:
        found = msgspec.json.decode(line, type=_Line)
    except msgspec.DecodeError as error:
        raise BadRun(
            f"{name}:{number}: {error}; write {{query_id, relevant or gold_id, top_k}}"
        ) from None
    relevant = tuple(found.relevant) or ((found.gold_id,) if found.gold_id else ())
    if not relevant:
        raise BadRun(f"{name}:{number}: nothing relevant is named; give relevant or gold_id")
    if len(set(found.top_k)) < len(found.top_k):
        raise BadRun(f"{name}:{number}: top_k names an id twice; each counts once")
    return Ranking(found.query_id, relevant, tuple(found.top_k), found.cluster)
