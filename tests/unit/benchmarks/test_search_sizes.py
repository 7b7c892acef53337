"""Sizes are named or given as numbers; anything else says what is known."""

import pytest

from benchmarks.search_sizes import NAMED, Size, size_of


def test_every_named_size_is_found_by_its_name() -> None:
    assert [size_of(name) for name in NAMED] == list(NAMED.values())


def test_another_size_is_passages_times_dimension() -> None:
    assert size_of("20000x384") == Size(20_000, 384)


@pytest.mark.parametrize("text", ["", "1m", "10x384", "20000x64", "20000x384x2", "-1x384"])
def test_what_is_no_size_is_refused_with_the_names_that_are(text: str) -> None:
    with pytest.raises(ValueError, match="6k6, 100k, 1m384, 1m768"):
        size_of(text)
