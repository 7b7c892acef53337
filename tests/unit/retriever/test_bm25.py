"""The BM25 scores against bm25s, which counts them one passage at a time."""

from array import array

import bm25s
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.retriever.plan import LexicalPlan
from services.retriever.words.bm25 import columns_of, held_by, lengths_of, rarity, rescaled
from services.retriever.words.columns import Columns

VOCABULARY = 15
documents_of = st.lists(
    st.lists(st.integers(0, VOCABULARY - 1), max_size=15), min_size=1, max_size=40
)


def columns(documents: list[list[int]], mean: float, plan: LexicalPlan) -> Columns:
    return columns_of(documents, lengths_of(documents), mean, plan)


@settings(deadline=None)
@given(documents_of, st.floats(0, 3), st.floats(0, 1))
def test_every_score_is_that_of_bm25s(documents: list[list[int]], k1: float, b: float) -> None:
    mean = float(np.mean([len(document) for document in documents])) or 1.0

    made = columns(documents, mean, LexicalPlan(k1=k1, b=b))

    passages = np.zeros(VOCABULARY, dtype=np.int64)
    passages[made.terms] = made.held_by
    if any(documents):
        expected = bm25s.BM25(k1=k1, b=b, method="lucene").build_index_from_ids(
            range(VOCABULARY), documents, show_progress=False
        )
        worth = np.repeat(rarity(passages, len(documents)), passages)
        assert [0, *np.cumsum(passages)] == expected["indptr"].tolist()
        assert made.rows.tolist() == expected["indices"].tolist()
        assert worth * made.values == pytest.approx(expected["data"], rel=1e-5, abs=1e-7)
    else:
        assert made.values.size == made.terms.size == 0


@given(documents_of, st.floats(0, 3), st.floats(0, 1), st.floats(1, 20), st.floats(1, 20))
def test_columns_for_another_mean_length_are_those_computed_for_it(
    documents: list[list[int]], k1: float, b: float, before: float, now: float
) -> None:
    plan = LexicalPlan(k1=k1, b=b)

    scaled = rescaled(columns(documents, before, plan), lengths_of(documents), before, now, plan)

    wanted = columns(documents, now, plan)
    assert scaled.values == pytest.approx(wanted.values, rel=1e-5)
    assert scaled.greatest == pytest.approx(wanted.greatest, rel=1e-5)
    assert scaled.rows.tolist() == wanted.rows.tolist()


@given(documents_of, st.floats(0.01, 3), st.floats(0, 1), st.floats(1, 20), st.floats(1, 20))
def test_a_value_differs_by_no_more_than_the_mean_length_does(
    documents: list[list[int]], k1: float, b: float, before: float, now: float
) -> None:
    plan = LexicalPlan(k1=k1, b=b)

    ratio = columns(documents, now, plan).values / columns(documents, before, plan).values

    bound = max(before / now, now / before) * (1 + 1e-5)
    assert np.all((ratio <= bound) & (ratio >= 1 / bound))


def test_terms_kept_as_arrays_score_like_lists() -> None:
    documents = [[3, 1, 3], [], [0, 1]]
    plan = LexicalPlan(k1=1.5, b=0.75)

    lists = columns(documents, 5 / 3, plan)
    arrays = columns_of(
        [array("i", document) for document in documents], lengths_of(documents), 5 / 3, plan
    )

    assert arrays.values.tolist() == lists.values.tolist()
    assert arrays.rows.tolist() == lists.rows.tolist() == [2, 0, 2, 0]
    assert arrays.terms.tolist() == [0, 1, 3]
    assert arrays.pointers.tolist() == [0, 1, 3, 4]


def test_greatest_is_each_columns_maximum() -> None:
    made = columns([[0, 0, 2], [0], [2, 2, 2]], 7 / 3, LexicalPlan(k1=1.5, b=0.75))

    parts = np.split(made.values, made.pointers[1:-1])
    assert made.greatest.tolist() == [part.max() for part in parts]


def test_a_passage_is_counted_once_for_each_of_its_terms() -> None:
    documents = [[7, 7, 2], [], [2]]

    terms, passages = held_by(documents, lengths_of(documents))

    assert terms.tolist() == [2, 7]
    assert passages.tolist() == [2, 1]
