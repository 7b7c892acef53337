"""The shipped golden cases are enough, are genuine, and are what the rules are judged by."""

import re
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from services.mapper import rules
from services.mapper.definitions.document import DefinitionInvalid
from services.mapper.definitions.names import normalise
from services.mapper.quality.cases import GOLDEN, Golden, GoldenCase, part_of, read_golden
from tests.unit.mapper.shipped import detectors, taxonomy
from trimtab.contracts.mapping import UNKNOWN, parts_of

DETECTORS = sorted(detectors().by_name)
LEAST = 100
MOST_MULTI = 0.25
_GRADED = {"severity", "verdict"}
_TAIL = re.compile(
    r"( v?\d+(\.\d+)*| (copy|case|variant|version|test|new|old|alt|final|conf|score|x)|(?<=[a-z]{2})\d+)+$"
)


def golden() -> Golden:
    return read_golden(GOLDEN, taxonomy())


def root(case: GoldenCase) -> str:
    """Return a case's name without case, separators, trailing digits and made-up suffixes.

    A declared level stays: severity 0 and severity 6 are two answers of a vendor, not one with a suffix.
    """
    key = normalise(case.output)
    return key if case.kind in _GRADED else _TAIL.sub("", key) or key


@pytest.mark.parametrize("detector", DETECTORS)
def test_every_shipped_detector_has_a_hundred_cases_that_are_not_one_another_with_a_suffix(
    detector: str,
) -> None:
    cases = golden().of(detector)
    roots = Counter(map(root, cases))

    assert [name for name, times in roots.items() if times > 1] == []
    assert len(roots) >= LEAST


@pytest.mark.parametrize(
    ("first", "second"),
    [("toxic", "toxic_v2"), ("bias", "BIAS-1"), ("hate", "hate_conf_0.9"), ("health", "health2")],
)
def test_a_suffix_makes_no_second_case(first: str, second: str) -> None:
    one, other = (
        GoldenCase(
            id=o, detector="d", output=o, expected=["X"], kind="label", note="n", part="tune"
        )
        for o in (first, second)
    )

    assert root(one) == root(other)


@pytest.mark.parametrize("detector", DETECTORS)
def test_a_level_counts_only_where_the_detector_declares_it(detector: str) -> None:
    severity = detectors().by_name[detector].severity
    graded = [case for case in golden().of(detector) if case.kind in _GRADED]
    levels = severity.levels | severity.none if severity else frozenset()

    assert [c.output for c in graded if normalise(c.output).rpartition(" ")[2] not in levels] == []


@pytest.mark.parametrize("detector", DETECTORS)
def test_at_most_a_quarter_of_a_detectors_cases_are_aggregates(detector: str) -> None:
    cases = golden().of(detector)
    several = [case for case in cases if case.kind == "multi"]

    assert 10 <= len(several) <= MOST_MULTI * len(cases)
    assert all(case.kind == "multi" for case in cases if len(parts_of(case.output)) > 1)


@pytest.mark.parametrize("detector", DETECTORS)
def test_about_a_third_is_held_out_and_both_parts_hold_what_must_stay_unknown(
    detector: str,
) -> None:
    cases = golden().of(detector)
    held = [case for case in cases if case.part == "held_out"]

    assert 0.2 <= len(held) / len(cases) <= 0.4
    for part in ("tune", "held_out"):
        assert sum(c.part == part and c.expected == [UNKNOWN] for c in cases) >= 3


@pytest.mark.parametrize("detector", DETECTORS)
def test_every_published_label_that_names_a_finding_has_a_case(detector: str) -> None:
    declared = detectors().by_name[detector]
    asked = {normalise(part) for case in golden().of(detector) for part in parts_of(case.output)}
    stems = asked | {key.rpartition(" ")[0] for key in asked}
    named = {key for key, labels in declared.normalised.items() if labels != (UNKNOWN,)}

    assert sorted(named - stems) == []


def test_the_rules_alone_answer_what_the_cases_say_they_must() -> None:
    """Every case that the rules must decide, in both parts: what stands in a detector's file needs no model."""
    wrong = []
    for case in golden().cases:
        detector = detectors().by_name[case.detector]
        answers = [rules.apply(part, detector, taxonomy()) for part in parts_of(case.output)]
        found = rules.merge(answers, taxonomy()).labels
        if case.decided_by == "rules" and set(found) != set(case.expected):
            wrong.append((case.id, found))

    assert wrong == []


def test_nothing_that_must_stay_unknown_is_known_to_the_rules() -> None:
    """Accidents, denials, errors and garbage of both parts: no part of a name ever matches."""
    wrong = []
    for case in golden().cases:
        detector = detectors().by_name[case.detector]
        answers = [rules.apply(part, detector, taxonomy()) for part in parts_of(case.output)]
        if case.expected == [UNKNOWN] and rules.merge(answers, taxonomy()).labels != (UNKNOWN,):
            wrong.append(case.id)

    assert wrong == []


def row(**changes: object) -> bytes:
    case = {
        "id": "d-1",
        "detector": "d",
        "output": "hate",
        "expected": ["HARM.SPEECH.Hate"],
        "kind": "label",
        "note": "category",
        "part": part_of("d", "hate"),
    }
    return msgspec.json.encode({**case, **changes}) + b"\n"


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (b"{", "line 1"),
        (row(expected=["HARM.Nobody"]), "is no label of taxonomy"),
        (row(detector="e"), "is a case of e"),
        (row(part="tune" if part_of("d", "hate") == "held_out" else "held_out"), "by its hash"),
        (row() + row(), "stands twice"),
        (row(kind="suffix"), "line 1"),
        (row(source="x"), "line 1"),
        (row(expected=[]), "line 1"),
    ],
    ids=[
        "no JSON",
        "no label",
        "other file",
        "other part",
        "twice",
        "kind",
        "unknown key",
        "empty",
    ],
)
def test_a_case_that_cannot_be_judged_is_refused_by_line(
    tmp_path: Path, rows: bytes, problem: str
) -> None:
    (tmp_path / "d.jsonl").write_bytes(rows)

    with pytest.raises(DefinitionInvalid, match=problem):
        read_golden(tmp_path, taxonomy())


def test_a_detector_without_a_file_of_cases_is_named(tmp_path: Path) -> None:
    with pytest.raises(DefinitionInvalid, match="nobody"):
        read_golden(GOLDEN, taxonomy(), only=["nobody"])
    with pytest.raises(DefinitionInvalid, match="any detector"):
        read_golden(tmp_path, taxonomy())


def test_the_hash_of_the_cases_changes_with_one_of_them(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_bytes(row())
    before = read_golden(tmp_path, taxonomy()).hash
    (tmp_path / "d.jsonl").write_bytes(row(note="other"))

    assert read_golden(tmp_path, taxonomy()).hash != before
