import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mapper.engines.reading import Alternative, Token, label_of, probability

LABELS = ("HARM.Hate", "HARM.HateThreat", "SPAM", "OTHER.Unknown")


def token(text: str, share: float, **others: float) -> Token:
    """A token that came, and the shares of those that could have come in its place."""
    tops = [Alternative(name, math.log(p)) for name, p in others.items()]
    return Token(text, math.log(share), tops)


START, END = token('{"label": "', 1.0), token('"}', 1.0)


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        "HARM.Hate",
        '"HARM.Hate"',
        '["HARM.Hate"]',
        '{"label": "HARM.Invented"}',
        '{"label": ["HARM.Hate"]}',
        '{"label": "HARM.Hate", "confidence": 0.9}',
        '{"Label": "HARM.Hate"}',
        '{"label": "HARM.Hate"} indeed',
        '{"label": "HARM.Hate',
        "[" * 3000,
        '{"label": "HARM.Hate"}' + " " * 5000,
    ],
)
def test_what_is_not_exactly_one_label_of_the_candidates_is_none(content: str | None) -> None:
    assert label_of(content, LABELS) is None


@given(st.text(max_size=60))
def test_no_text_makes_a_label_that_is_not_there(content: str) -> None:
    assert label_of(content, LABELS) in (None, *LABELS)


def test_whitespace_around_the_answer_does_not_matter() -> None:
    assert label_of(' {\n "label" : "SPAM" }\n', LABELS) == "SPAM"


def test_one_token_per_label_gives_its_share_among_the_candidates() -> None:
    tokens = [START, token("SPAM", 0.6, **{"HARM.Hate": 0.2}), END]

    assert probability(tokens, "SPAM", LABELS) == pytest.approx(0.75)


def test_what_leads_to_no_candidate_does_not_count() -> None:
    tokens = [START, token("SPAM", 0.3, **{"HARM.Hate": 0.1, "potato": 0.5}), END]

    assert probability(tokens, "SPAM", LABELS) == pytest.approx(0.75)


def test_another_spelling_of_the_same_label_in_tokens_counts_for_it() -> None:
    tokens = [START, token("SP", 0.5, SPAM=0.3, HARM=0.2), token("AM", 1.0), END]

    assert probability(tokens, "SPAM", LABELS) == pytest.approx(0.8)


def test_the_closing_quote_decides_between_a_label_and_a_longer_one() -> None:
    tokens = [START, token("HARM.Hate", 1.0), token('"}', 0.7, Threat=0.3)]

    assert probability(tokens, "HARM.Hate", LABELS) == pytest.approx(0.7)


def test_shares_multiply_along_the_label() -> None:
    tokens = [
        START,
        token("HARM", 0.5, SPAM=0.5),
        token(".Hate", 1.0),
        token("Threat", 0.4, **{'"': 0.6}),
        END,
    ]

    assert probability(tokens, "HARM.HateThreat", LABELS) == pytest.approx(0.2)


def test_an_end_token_behind_the_answer_changes_nothing() -> None:
    tokens = [START, token("SPAM", 0.9, **{"HARM.Hate": 0.1}), END, token("</s>", 0.5)]

    assert probability(tokens, "SPAM", LABELS) == pytest.approx(0.9)


def test_tokens_that_spell_something_else_tell_nothing() -> None:
    assert probability([token("gibberish", 0.9)], "SPAM", LABELS) is None
    assert probability([], "SPAM", LABELS) is None


def test_an_impossible_token_tells_nothing() -> None:
    tokens = [START, Token("SPAM", -9999.0, []), END]

    assert probability(tokens, "SPAM", LABELS) is None


@given(st.lists(st.floats(1e-6, 1.0), min_size=4, max_size=4))
def test_the_shares_of_all_candidates_are_one(shares: list[float]) -> None:
    labels = ("ALPHA", "BETA", "GAMMA", "DELTA")
    total = sum(shares)
    given_shares = dict(zip(labels, (share / total for share in shares), strict=True))

    found = [
        probability([START, token(label, given_shares[label], **given_shares), END], label, labels)
        for label in labels
    ]

    assert sum(share for share in found if share is not None) == pytest.approx(1.0)
