"""Token counts come from the real tokenizer, special tokens included; the budget is policy."""

from pathlib import Path

import pytest

from services.encoder.tokenizer import Specials, TextTokenizer, check_text, check_tokens, fit
from tests.unit.encoder import tiny
from trimtab.artifacts.manifest import ArtifactCorrupt
from trimtab.contracts.encode import Overflow
from trimtab.contracts.errors import InvalidText, TokenBudgetExceeded

BOTH = Specials(1, 1)


@pytest.fixture
def tokenizer(tmp_path: Path) -> TextTokenizer:
    path = tmp_path / "tokenizer.json"
    tiny.tokenizer().save(str(path))
    return TextTokenizer.load(path)


def test_its_own_truncation_and_padding_are_switched_off(tokenizer: TextTokenizer) -> None:
    ids = tokenizer.ids("a b c d e f g h")

    assert ids == [1, *range(4, 12), 2]


def test_special_tokens_are_found_and_counted(tokenizer: TextTokenizer) -> None:
    assert tokenizer.specials == BOTH
    assert len(tokenizer.ids("a")) == 3


def test_characters_that_the_model_drops_leave_only_special_tokens(
    tokenizer: TextTokenizer,
) -> None:
    assert tokenizer.ids("\u200b\x01") == [1, 2]


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text('{"version": "1.0"}')

    with pytest.raises(ArtifactCorrupt, match="is no tokenizer"):
        TextTokenizer.load(path)


@pytest.mark.parametrize(
    ("specials", "expected"),
    [
        (BOTH, [1, 10, 11, 2]),
        (Specials(1, 0), [1, 10, 11, 12]),
        (Specials(0, 2), [1, 10, 13, 2]),
    ],
    ids=["cls-and-sep", "only-bos", "two-at-the-end"],
)
def test_truncation_keeps_the_first_tokens_and_the_closing_special_ones(
    specials: Specials, expected: list[int]
) -> None:
    fitted = fit([1, 10, 11, 12, 13, 2], specials, 4)

    assert list(fitted.ids) == expected
    assert (fitted.total, fitted.truncated) == (6, True)


@pytest.mark.parametrize("length", [1, 3, 4], ids=["shorter", "one-less", "exactly-the-budget"])
def test_a_text_within_the_budget_stays_whole(length: int) -> None:
    fitted = fit([1, 10, 11, 2][:length], BOTH, 4)

    assert (len(fitted.ids), fitted.total, fitted.truncated) == (length, length, False)


def test_over_the_budget_the_policy_decides() -> None:
    check_tokens(3, 257, BOTH, 256, "truncate")

    with pytest.raises(TokenBudgetExceeded) as refusal:
        check_tokens(3, 257, BOTH, 256, "reject")
    assert (refusal.value.index, refusal.value.tokens, refusal.value.budget) == (3, 257, 256)


@pytest.mark.parametrize("overflow", ["reject", "truncate"])
def test_a_text_of_special_tokens_only_is_no_text(overflow: Overflow) -> None:
    with pytest.raises(InvalidText, match="text 5 holds no character"):
        check_tokens(5, 2, BOTH, 256, overflow)


@pytest.mark.parametrize(
    ("text", "problem"),
    [("", "is empty"), (" ", "is blank"), ("\n\t\u3000", "is blank")],
    ids=["empty", "space", "other-white-space"],
)
def test_empty_and_blank_texts_are_refused_by_their_place(text: str, problem: str) -> None:
    with pytest.raises(InvalidText, match=f"text 7 {problem}"):
        check_text(7, text)


def test_a_text_with_a_letter_is_let_through() -> None:
    check_text(0, " a ")
