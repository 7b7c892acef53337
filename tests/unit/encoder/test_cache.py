"""The cache answers with what was put, forgets the least recently used, and stays within both bounds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.encoder.cache import EncodedText, TextCache, cache_key


def _row(value: float = 1.0, tokens: int | None = None) -> EncodedText:
    matrix = None if tokens is None else np.ones((tokens, 128), dtype=np.int8)
    return EncodedText(np.full(384, value, dtype=np.float32), matrix, 5, 5)


def _key(name: str) -> bytes:
    return cache_key("hash", "minilm-int8", name)


def test_what_was_put_is_found_and_counted_as_a_hit() -> None:
    cache = TextCache(10, 1 << 20)
    row = _row()
    cache.put(_key("a"), row)

    assert cache.get(_key("a"), tokens=False) is row
    assert cache.get(_key("b"), tokens=False) is None
    assert (cache.hits, cache.misses, cache.hit_ratio) == (1, 1, 0.5)


def test_the_least_recently_used_entry_goes_first() -> None:
    cache = TextCache(2, 1 << 20)
    cache.put(_key("a"), _row())
    cache.put(_key("b"), _row())
    cache.get(_key("a"), tokens=False)

    cache.put(_key("c"), _row())

    assert cache.get(_key("b"), tokens=False) is None
    assert cache.get(_key("a"), tokens=False) is not None


def test_token_vectors_count_against_the_bytes() -> None:
    small, large = _row(), _row(tokens=256)
    cache = TextCache(1000, 2 * large.size)
    for number in range(3):
        cache.put(_key(f"large {number}"), large)

    assert len(cache) == 2
    assert large.size > 10 * small.size


def test_an_entry_larger_than_the_whole_cache_is_not_kept() -> None:
    cache = TextCache(10, 1000)
    cache.put(_key("a"), _row())

    assert (len(cache), cache.size) == (0, 0)


def test_an_entry_without_token_vectors_is_no_answer_when_they_are_wanted() -> None:
    cache = TextCache(10, 1 << 20)
    cache.put(_key("a"), _row())

    assert cache.get(_key("a"), tokens=True) is None
    cache.put(_key("a"), _row(tokens=3))
    assert cache.get(_key("a"), tokens=True) is not None
    assert len(cache) == 1


def test_a_cache_of_no_entries_keeps_nothing() -> None:
    cache = TextCache(0, 1 << 20)
    cache.put(_key("a"), _row())

    assert cache.get(_key("a"), tokens=False) is None
    assert cache.hit_ratio == 0.0


@pytest.mark.parametrize(
    "other",
    [("other", "p", "t"), ("h", "other", "t"), ("h", "p", "other"), ("h\0p", "", "t")],
    ids=["component", "profile", "text", "shifted-boundary"],
)
def test_the_key_tells_apart_component_profile_and_text(other: tuple[str, str, str]) -> None:
    assert cache_key("h", "p", "t") != cache_key(*other)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 40)), max_size=60))
def test_it_never_passes_its_bounds_and_returns_the_last_content(
    puts: list[tuple[int, int]],
) -> None:
    cache = TextCache(4, 20_000)
    last: dict[bytes, EncodedText] = {}
    for number, tokens in puts:
        key = _key(str(number))
        last[key] = _row(number, tokens)
        cache.put(key, last[key])

        assert len(cache) <= 4
        assert cache.size <= 20_000

    kept = {key: cache.get(key, tokens=True) for key in last}
    found = {key: row for key, row in kept.items() if row is not None}
    assert all(row is last[key] for key, row in found.items())
    assert cache.size == sum(row.size for row in found.values())
