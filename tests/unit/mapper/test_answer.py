import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mapper.answer import SCHEMA, AnswerCheck
from tests.unit.mapper.shipped import taxonomy

CHECK = AnswerCheck.of(taxonomy().labels)
GOOD = {
    "taxonomy": ["HARM.SPEECH.Hate"],
    "scores": {"HARM.SPEECH.Hate": 0.9},
    "confidence": 0.9,
}


def test_the_schema_is_a_valid_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(SCHEMA.read_text()))


def test_a_good_answer_is_accepted_as_it_is() -> None:
    found = CHECK.accept(GOOD)

    assert found is not None
    assert (found.labels, found.scores, found.confidence) == (
        ("HARM.SPEECH.Hate",),
        {"HARM.SPEECH.Hate": 0.9},
        0.9,
    )


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"taxonomy": []}, id="no label"),
        pytest.param({"taxonomy": "HARM.SPEECH.Hate"}, id="not a list"),
        pytest.param({"taxonomy": ["made.up"]}, id="malformed label"),
        pytest.param({"taxonomy": ["MADE.Up"], "scores": {"MADE.Up": 0.9}}, id="no such label"),
        pytest.param({"taxonomy": ["HARM.SPEECH.Hate"] * 2}, id="a label twice"),
        pytest.param({"scores": {}}, id="no score"),
        pytest.param({"scores": {"INTEGRITY.Spam": 0.9}}, id="score of another label"),
        pytest.param({"scores": {"HARM.SPEECH.Hate": 1.1}}, id="score above 1"),
        pytest.param({"scores": {"HARM.SPEECH.Hate": float("nan")}}, id="score is no number"),
        pytest.param({"scores": None}, id="no scores"),
        pytest.param({"confidence": float("nan")}, id="confidence is no number"),
        pytest.param({"confidence": float("inf")}, id="infinite confidence"),
        pytest.param({"confidence": "high"}, id="confidence in words"),
        pytest.param({"confidence": -0.1}, id="confidence below 0"),
        pytest.param({"notes": "hm"}, id="unknown field"),
    ],
)
def test_an_answer_that_breaks_any_rule_is_refused(change: dict[str, Any]) -> None:
    assert CHECK.accept(GOOD | change) is None


@pytest.mark.parametrize("field", sorted(GOOD))
def test_no_field_may_be_missing(field: str) -> None:
    assert CHECK.accept({name: value for name, value in GOOD.items() if name != field}) is None


anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*GOOD, "notes"]), anything, max_size=4))
def test_whatever_comes_is_judged_and_nothing_unknown_accepted(raw: dict[str, Any]) -> None:
    found = CHECK.accept(raw)

    assert found is None or set(found.labels) <= set(taxonomy().labels)
