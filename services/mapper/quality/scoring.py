"""What answers to golden cases are worth: per case, per detector and part, and as one table. Pure.

A case passes when the F1 of its set of labels is at least 0.9 and, where it says so, the right one decided.
"""

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from services.mapper.quality.cases import GoldenCase
from trimtab.contracts.mapping import UNKNOWN, DecidedBy, FallbackReason

PASS_F1 = 0.9
"""Least F1 of a case's labels that passes."""

_Z = 1.959964
"""Standard normal quantile of a two-sided 95 % interval."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one case."""

    labels: tuple[str, ...]
    """Empty when an error came back."""
    decided_by: DecidedBy | None
    """None for an error."""
    reason: FallbackReason | None
    """Why the model did not decide in its turn."""
    ms: float
    """From the question to the answer."""
    error: str = ""
    """Name of the error; empty for an answer."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One case beside its answer."""

    case: GoldenCase
    answer: Answer
    f1: float
    """Of the set of labels, 0..1."""
    valid: bool
    """An answer came, its labels exist, and the model's output fitted the schema."""

    @property
    def passed(self) -> bool:
        """Whether labels and decision are right."""
        right = self.case.decided_by in (None, self.answer.decided_by)
        return self.f1 >= PASS_F1 and right

    @property
    def fell_back(self) -> bool:
        """Whether the rules answered in the model's turn although there was something to say.

        To abstain where nothing should be known is the right answer, and an ordered switch is no fault.
        """
        wanted = self.case.expected != [UNKNOWN]
        ordered = self.answer.reason is FallbackReason.KILL_SWITCH
        return (
            wanted and not ordered and (self.answer.reason is not None or bool(self.answer.error))
        )


@dataclass(frozen=True, slots=True)
class Share:
    """A share with its 95 % interval."""

    value: float
    low: float
    high: float
    of: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Of some cases."""

    cases: int
    f1: float
    """Mean of the cases' F1."""
    passed: Share
    """Share of cases that pass."""
    valid: float
    """Share of valid answers."""
    fallback: float
    """Share of the cases with something to say that fell back; 0 without such a case."""
    p95_ms: float
    """95th percentile of the time to an answer."""
    unknown_precision: float
    """Of the answers ``OTHER.Unknown``, the share that should be; NaN without one."""
    unknown_recall: float
    """Of the cases that should come out so, the share that does; NaN without one."""


def score(case: GoldenCase, answer: Answer, labels: Collection[str]) -> Scored:
    """Return a case beside its answer; ``labels`` are those that exist."""
    fits = answer.reason is not FallbackReason.INVALID_OUTPUT and not answer.error
    valid = fits and bool(answer.labels) and all(label in labels for label in answer.labels)
    return Scored(case, answer, label_f1(case.expected, answer.labels), valid)


def label_f1(expected: Sequence[str], found: Sequence[str]) -> float:
    """Return the F1 of two sets of labels: twice what they share over the sum of their sizes."""
    wanted, given = set(expected), set(found)
    return 2 * len(wanted & given) / (len(wanted) + len(given))


def figures(scored: Sequence[Scored]) -> Figures:
    """Return what some scored cases amount to; at least one is needed."""
    unknown = [each for each in scored if each.answer.labels == (UNKNOWN,)]
    nobody = [each for each in scored if each.case.expected == [UNKNOWN]]
    wanted = [each for each in scored if each.case.expected != [UNKNOWN]]
    return Figures(
        cases=len(scored),
        f1=_mean([each.f1 for each in scored]),
        passed=wilson(sum(each.passed for each in scored), len(scored)),
        valid=_mean([float(each.valid) for each in scored]),
        fallback=_mean([float(each.fell_back) for each in wanted]) if wanted else 0.0,
        p95_ms=percentile([each.answer.ms for each in scored], 0.95),
        unknown_precision=_mean([float(each.case.expected == [UNKNOWN]) for each in unknown])
        if unknown
        else math.nan,
        unknown_recall=_mean([float(each in unknown) for each in nobody]) if nobody else math.nan,
    )


def wilson(good: int, of: int) -> Share:
    """Return a share with Wilson's score interval (Wilson 1927, JASA 22)."""
    share, z2 = good / of, _Z * _Z
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = _Z * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of)) / (1 + z2 / of)
    return Share(share, max(0.0, middle - half), min(1.0, middle + half), of)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least ``share`` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def confusions(scored: Sequence[Scored]) -> list[tuple[str, str, int]]:
    """Return what came out for what, with how often, of the cases with wrong labels; most often first."""
    found = Counter(
        (_set(each.case.expected), each.answer.error or _set(each.answer.labels))
        for each in scored
        if set(each.case.expected) != set(each.answer.labels)
    )
    return sorted(
        ((wanted, got, count) for (wanted, got), count in found.items()),
        key=lambda row: (-row[2], row[0], row[1]),
    )


def _set(labels: Sequence[str]) -> str:
    return " + ".join(sorted(labels))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
