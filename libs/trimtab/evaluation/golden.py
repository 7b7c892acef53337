"""Golden cases: questions with known answers, one JSON object per line, and what a release's answers are worth.

A search case is ``{"text": ..., "relevant": [ids]}``, a mapping case
``{"detector": ..., "output": ..., "expected": [labels]}``. Pure but for reading the file.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from trimtab.contracts.gates import Gate, ProbedMap, ProbedSearch
from trimtab.evaluation.metrics import contains, recall_at
from trimtab.evaluation.overlap import overlap_of

_FIRST = 5
_NEAREST = 10

Names = Annotated[list[str], Meta(min_length=1)]


class BadCases(ValueError):
    """A file of cases cannot be used; says which line and what to do."""


class SearchCase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question, and which passages answer it."""

    text: Annotated[str, Meta(min_length=1)]
    """What to ask."""
    relevant: Names
    """Ids of the passages that answer it."""


class MapCase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An output, and its labels."""

    detector: Annotated[str, Meta(min_length=1, max_length=64)]
    """Who said it."""
    output: str
    """What it said."""
    expected: Names
    """The first label of the answer must be one of these."""


@dataclass(frozen=True)
class Cases:
    """A file of cases."""

    searches: list[SearchCase]
    """In its order."""
    maps: list[MapCase]
    """In its order."""
    content_hash: str
    """sha256 of the file."""


def read_cases(path: Path) -> Cases:
    """Read a file of cases.

    Raises:
        BadCases: a line is no case; names it by number.
    """
    data = path.read_bytes()
    searches, maps = [], []
    for number, line in enumerate(data.splitlines(), start=1):
        if not line.strip():
            continue
        kind: type[SearchCase] | type[MapCase] = MapCase if b'"output"' in line else SearchCase
        try:
            case = msgspec.json.decode(line, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            remedy = (
                'write {"text", "relevant": [ids]} or {"detector", "output", "expected": [labels]}'
            )
            raise BadCases(f"line {number} of {path.name}: {error}; {remedy}") from None
        if isinstance(case, SearchCase):
            searches.append(case)
        else:
            maps.append(case)
    return Cases(searches, maps, hashlib.sha256(data).hexdigest())


def norms(answers: Sequence[ProbedSearch]) -> dict[str, float]:
    """Return ``norm_error``: how far the worst query vector's length is from 1."""
    return {"norm_error": max(abs(answer.norm - 1.0) for answer in answers)}


def index(cases: Sequence[SearchCase], answers: Sequence[ProbedSearch]) -> dict[str, float]:
    """Return what the index loses against visiting every list: overlap@10, R@5 and contain@50."""
    pairs = list(zip(cases, answers, strict=True))
    return {
        "overlap_at_10": _mean([overlap_of(a.nearest, a.truly_nearest, _NEAREST) for a in answers]),
        "recall_at_5_loss": _mean([_recall(c, a.truly_retrieved) for c, a in pairs])
        - _mean([_recall(c, a.retrieved) for c, a in pairs]),
        "contain_at_50_loss": _mean([contains(a.truly_retrieved, c.relevant) for c, a in pairs])
        - _mean([contains(a.retrieved, c.relevant) for c, a in pairs]),
    }


def searched(
    cases: Sequence[SearchCase], stable: Sequence[ProbedSearch], release: Sequence[ProbedSearch]
) -> dict[str, float]:
    """Return R@5 of the final order of both releases, and what the newer one loses."""
    before = _mean([_recall(c, a.results) for c, a in zip(cases, stable, strict=True)])
    after = _mean([_recall(c, a.results) for c, a in zip(cases, release, strict=True)])
    return {"search_recall_at_5": after, "search_stable": before, "search_loss": before - after}


def mapped(
    cases: Sequence[MapCase], stable: Sequence[ProbedMap], release: Sequence[ProbedMap]
) -> dict[str, float]:
    """Return the share of outputs that both releases map rightly, and what the newer one loses."""
    before = _mean([_right(c, a) for c, a in zip(cases, stable, strict=True)])
    after = _mean([_right(c, a) for c, a in zip(cases, release, strict=True)])
    return {"map_right": after, "map_stable": before, "map_loss": before - after}


def gates_of(cases: Cases) -> list[Gate]:
    """Return the gates that these cases can measure."""
    if cases.searches:
        return [Gate.NORMS, Gate.INDEX, Gate.GOLDEN]
    return [Gate.GOLDEN] if cases.maps else []


def _recall(case: SearchCase, ids: Sequence[str]) -> float:
    return recall_at(ids, set(case.relevant), _FIRST)


def _right(case: MapCase, answer: ProbedMap) -> float:
    return float(bool(answer.labels) and answer.labels[0] in case.expected)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
