"""Texts are split into messages that fit, and none is lost or reordered."""

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.http.embedding import chunks


@given(st.lists(st.text(max_size=200), max_size=300))
def test_chunks_keep_every_text_in_order_and_within_the_count(texts: list[str]) -> None:
    parts = list(chunks(texts))

    assert [text for part in parts for text in part] == texts
    assert all(1 <= len(part) <= 64 for part in parts)


def test_long_texts_are_split_by_size() -> None:
    parts = list(chunks(["x" * 300_000] * 4))

    assert [len(part) for part in parts] == [1, 1, 1, 1]
