"""The BM25 scores against bm25s, which counts them one passage at a time."""

from array import array

import bm25s
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.retriever.bm25 import columns_of
from services.retriever.plan import LexicalPlan

VOCABULARY = 15


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(0, VOCABULARY - 1), max_size=15), min_size=1, max_size=40),
    st.floats(0, 3),
    st.floats(0, 1),
)
def test_every_score_is_that_of_bm25s(documents: list[list[int]], k1: float, b: float) -> None:
    columns = columns_of(documents, VOCABULARY, LexicalPlan(k1=k1, b=b))

    if any(documents):
        expected = bm25s.BM25(k1=k1, b=b, method="lucene").build_index_from_ids(
            range(VOCABULARY), documents, show_progress=False
        )
        assert columns.pointers.tolist() == expected["indptr"].tolist()
        assert columns.rows.tolist() == expected["indices"].tolist()
        assert columns.scores == pytest.approx(expected["data"], rel=1e-5, abs=1e-7)
    else:
        assert columns.scores.size == 0


def test_terms_kept_as_arrays_score_like_lists() -> None:
    documents = [[3, 1, 3], [], [0, 1]]
    plan = LexicalPlan(k1=1.5, b=0.75)

    lists = columns_of(documents, 5, plan)
    arrays = columns_of([array("i", document) for document in documents], 5, plan)

    assert arrays.scores.tolist() == lists.scores.tolist()
    assert arrays.rows.tolist() == lists.rows.tolist() == [2, 0, 2, 0]
    assert arrays.pointers.tolist() == [0, 1, 3, 3, 4, 4]


def test_greatest_is_each_columns_maximum() -> None:
    columns = columns_of([[0, 0, 2], [0], [2, 2, 2]], 4, LexicalPlan(k1=1.5, b=0.75))

    greatest = columns.greatest()

    parts = np.split(columns.scores, columns.pointers[1:-1])
    assert greatest.tolist() == [part.max(initial=0.0) for part in parts]
