"""What a mapper counted: by label and control in a window, unmapped outputs as hash and length."""

import hashlib
import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mapper.definitions.detectors import load_detector
from services.mapper.definitions.document import DefinitionInvalid
from services.mapper.tally import CELL_S, MOST_SETS, Tally
from tests.unit.mapper.shipped import frameworks, mapper, request, taxonomy, written
from trimtab.contracts.mappers import MAX_SINCE_S, MAX_UNMAPPED
from trimtab.contracts.mapping import UNKNOWN

HATE, MINORS = "HARM.SPEECH.Hate", "SEXUAL.Minors"
SAFETY = "ai-safety"


def test_an_answer_with_two_labels_counts_once_for_a_control_that_both_bear_on() -> None:
    tally = Tally(0.0)
    tally.add(1.0, SAFETY, (HATE, MINORS))
    tally.add(2.0, SAFETY, (HATE,))

    counted, _ = tally.since(3.0, 3600.0)
    controls = {c.control: c.answers for c in counted.controls({SAFETY: frameworks()})}

    assert counted.answers == 2
    assert {each.label: each.answers for each in counted.labels()} == {HATE: 2, MINORS: 1}
    assert (controls["CC7.2"], controls["CC7.4"], controls["A.5.24"]) == (2, 1, 1)
    assert counted.controls({}) == []


def test_what_is_older_than_the_span_is_not_counted_and_what_is_too_old_is_forgotten() -> None:
    tally = Tally(0.0)
    tally.add(1.0, SAFETY, (HATE,))
    tally.add(10 * CELL_S, SAFETY, (MINORS,))

    recent, span_s = tally.since(10 * CELL_S, CELL_S)
    everything, whole_s = tally.since(10 * CELL_S, MAX_SINCE_S)
    tally.add(2 * MAX_SINCE_S, SAFETY, (MINORS,))

    assert [each.label for each in recent.labels()] == [MINORS]
    assert CELL_S <= span_s < 2 * CELL_S + 1
    assert (everything.answers, whole_s) == (2, 10 * CELL_S)
    assert tally.since(2 * MAX_SINCE_S, 10 * MAX_SINCE_S)[0].answers == 1


def test_combinations_beyond_the_limit_are_counted_as_such_and_told() -> None:
    tally = Tally(0.0)
    for number in range(MOST_SETS + 5):
        tally.add(1.0, SAFETY, (f"A.L{number}",))

    counted, _ = tally.since(2.0, 60.0)

    assert (counted.answers, counted.beyond) == (MOST_SETS + 5, 5)


def test_an_unmapped_output_is_kept_as_hash_and_length_unless_it_may_be_told() -> None:
    tally = Tally(0.0)
    secret = "my number is 555-0100"
    for _ in range(3):
        tally.add_unmapped("text", secret, "low_confidence", tell=False)
    tally.add_unmapped("acme", "NewLabel", "none", tell=True)

    first, second = tally.unmapped(10)

    assert (first.detector, first.length, first.count, first.output) == ("text", len(secret), 3, "")
    assert first.digest == hashlib.sha256(secret.encode()).hexdigest()[:16]
    assert (second.output, second.reason) == ("NewLabel", "none")
    assert "555" not in json.dumps(msgspec.to_builtins([first, second]))
    assert len(tally.unmapped(1)) == 1


@given(st.lists(st.integers(0, 3), min_size=1, max_size=50))
def test_a_frequent_unmapped_output_is_found_however_many_rare_ones_come(order: list[int]) -> None:
    tally = Tally(0.0)
    for number in range(MAX_UNMAPPED):
        tally.add_unmapped("text", f"once {number}", "none", tell=False)
    for number in order:
        for _ in range(3):
            tally.add_unmapped("text", f"often {number}", "none", tell=False)

    found = {each.digest: each.count for each in tally.unmapped(4)}

    for number in set(order):
        digest = hashlib.sha256(f"often {number}".encode()).hexdigest()[:16]
        assert found[digest] >= 3 * order.count(number)


TELLING = """\
name: acme
version: "1"
source: https://example.org
label_only: true
tell_unmapped: true
labels: {one: HARM.SPEECH.Hate}
"""


def test_only_a_detector_that_says_labels_alone_may_have_them_told(tmp_path: Path) -> None:
    detector = load_detector(written(tmp_path, "acme.yaml", TELLING), taxonomy())

    for told in ("NewLabel", "hate/severe", "S15", "a_b.c-d"):
        assert detector.tells(told)
    for kept in (
        "two words",
        "mail@example.org",
        "123-45-6789",
        "card4111",
        "x" * 49,
        "",
        "ümlaut",
    ):
        assert not detector.tells(kept)

    for less in (
        TELLING.replace("label_only: true\n", ""),
        TELLING.replace("only: true", "only: false"),
    ):
        with pytest.raises(DefinitionInvalid, match="texts are never told"):
            load_detector(written(tmp_path, "acme.yaml", less), taxonomy())


def test_no_shipped_detector_has_its_outputs_told() -> None:
    mapped = mapper().map(request("nobody-knows", "openai-moderation", vectors=None))

    assert mapped.reply.taxonomy == [UNKNOWN]
    assert not mapped.tellable
