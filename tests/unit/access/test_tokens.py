"""Keys are shown once, kept as digests, and open what they are for until they expire."""

import re

import pytest

from tests.unit.access.minted import minted
from trimtab.access.tokens import mint, opens, parse


def test_a_minted_key_parses_to_what_is_kept_of_it_and_opens_it() -> None:
    text, kept = mint()

    assert re.fullmatch(r"tt_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", text)
    assert parse(text) == kept
    assert kept.digest not in text


def test_no_two_keys_are_alike() -> None:
    made = {mint()[0] for _ in range(100)}

    assert len(made) == 100


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tt_",
        "secret",
        "tt_0123456789ab_short",
        "xx" + mint()[0][2:],
        mint()[0] + "x",
        " " + mint()[0],
    ],
)
def test_what_is_no_key_parses_to_nothing(text: str) -> None:
    assert parse(text) is None


def test_a_key_with_another_secret_opens_nothing() -> None:
    text, key = minted()
    other = text[:-1] + ("A" if text[-1] != "A" else "B")
    right, wrong = parse(text), parse(other)

    assert right is not None
    assert wrong is not None
    assert opens(right, key, 0.0)
    assert not opens(wrong, key, 0.0)


def test_a_key_opens_until_it_expires() -> None:
    text, key = minted(expires_at=100.0)
    token = parse(text)

    assert token is not None
    assert opens(token, key, 99.9)
    assert not opens(token, key, 100.0)
