import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.mapper.model import lexical

BUCKETS = 512


def test_the_same_text_has_the_same_features_in_every_process() -> None:
    places, _ = lexical.counts("Hate speech", 4096)

    assert places.tolist()[:4] == [258, 305, 324, 516]
    assert len(places) == 26


def test_case_and_width_of_letters_do_not_matter() -> None:
    first, second = (lexical.counts(text, BUCKETS) for text in ("ＨＡＴＥ speech", "hate SPEECH"))

    assert first[0].tolist() == second[0].tolist()


def test_a_repeated_word_counts_less_than_twice() -> None:
    once = dict(zip(*(a.tolist() for a in lexical.counts("hate", 1 << 16)), strict=True))
    twice = dict(zip(*(a.tolist() for a in lexical.counts("hate hate", 1 << 16)), strict=True))

    assert all(np.isclose(twice[place], 1 + np.log(2)) for place in once)


def test_rare_buckets_weigh_more_than_frequent_ones() -> None:
    idf = lexical.inverse_frequencies(["threat", "threat", "spam"], 1 << 16)
    threat, spam = (lexical.counts(word, 1 << 16)[0] for word in ("threat", "spam"))

    assert idf[threat].max() < idf[spam].min()


def test_only_the_first_characters_of_a_long_text_count() -> None:
    start = "word " * 1000

    assert (
        lexical.counts(start, BUCKETS)[0].tolist()
        == lexical.counts(start + "end", BUCKETS)[0].tolist()
    )


@given(st.text(max_size=200))
def test_features_are_of_unit_length_or_empty(text: str) -> None:
    places, values = lexical.weighted(text, np.ones(BUCKETS, dtype=np.float32))

    assert len(places) == len(values)
    assert (np.diff(places) > 0).all()
    assert not len(values) or np.isclose(np.linalg.norm(values), 1.0, atol=1e-5)
