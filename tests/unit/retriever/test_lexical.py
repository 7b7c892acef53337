"""BM25 against bm25s itself: the pruned search must be exact."""

from typing import Any

import bm25s
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.retriever import lexical
from services.retriever.lexical import LexicalIndex
from services.retriever.plan import LexicalPlan
from services.retriever.visibility import Visibility, VisibleSet

PLAN = LexicalPlan(k1=1.5, b=0.75)
VOCABULARY = 12


def everybody(count: int) -> VisibleSet:
    visibility = Visibility()
    visibility.put(np.arange(count, dtype=np.int64), ["public"] * count)
    return visibility.of("public")


def oracle(documents: list[list[int]], query: list[int]) -> np.ndarray:
    """Scores of all documents by bm25s's own scorer."""
    if not query or not any(documents):
        return np.zeros(len(documents), dtype=np.float32)
    model = bm25s.BM25(k1=PLAN.k1, b=PLAN.b, method="lucene")
    model.scores = model.build_index_from_ids(range(VOCABULARY), documents, show_progress=False)
    model.nonoccurrence_array = None
    return np.asarray(model.get_scores_from_ids(query))


documents_of = st.lists(
    st.lists(st.integers(0, VOCABULARY - 1), max_size=12), min_size=1, max_size=40
)


@settings(deadline=None)
@given(
    documents_of,
    st.lists(st.integers(0, VOCABULARY - 1), max_size=8),
    st.integers(1, 12),
    st.sampled_from([1, 4, 10_000]),
)
def test_best_passages_are_those_of_bm25s(
    documents: list[list[int]], query: list[int], limit: int, long_column: int
) -> None:
    count = len(documents)
    scores = oracle(documents, query)
    slots = np.arange(count, dtype=np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lexical, "_LONG_COLUMN", long_column)
        patch.setattr(lexical, "_COMMON_SHARE", 1.0)

        index = LexicalIndex(slots, documents, VOCABULARY, PLAN)
        found = index.search(query, limit, everybody(count), slots)
        again = index.search(query, limit, everybody(count), slots)

    expected = np.sort(scores[scores > 0])[::-1][:limit]
    assert found.scores == pytest.approx(expected, abs=1e-4)
    assert found.scores == pytest.approx(scores[found.slots], abs=1e-4)
    assert found.others == pytest.approx(scores, abs=1e-4)
    assert again.slots.tolist() == found.slots.tolist()


@settings(deadline=None)
@given(
    documents_of,
    st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=8),
    st.data(),
    st.sampled_from([1, 10_000]),
)
def test_a_filter_leaves_the_best_of_the_visible_passages(
    documents: list[list[int]], query: list[int], data: st.DataObject, long_column: int
) -> None:
    count = len(documents)
    owners = data.draw(
        st.lists(st.sampled_from(["public", "acme", "globex"]), min_size=count, max_size=count)
    )
    visibility = Visibility()
    visibility.put(np.arange(count, dtype=np.int64), owners)
    scores = oracle(documents, query)
    mine = np.array([owner in ("public", "acme") for owner in owners])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lexical, "_LONG_COLUMN", long_column)
        patch.setattr(lexical, "_COMMON_SHARE", 1.0)

        index = LexicalIndex(np.arange(count, dtype=np.int64), documents, VOCABULARY, PLAN)
        found = index.search(query, 5, visibility.of("acme"), np.empty(0, dtype=np.int64))

    assert all(mine[found.slots])
    expected = np.sort(scores[(scores > 0) & mine])[::-1][:5]
    assert found.scores == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("share", "rare", "walked"),
    [
        pytest.param(1.0, 20, 1, id="settled"),
        pytest.param(1.0, 9, 2, id="too-few-found-by-the-rare-term"),
        pytest.param(0.05, 12, 1, id="common-word"),
    ],
)
def test_a_common_terms_column_is_only_looked_up_once_rarer_ones_found_enough(
    share: float, rare: int, walked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = [[0, 1] if number < rare else [0, 2] for number in range(4000)]
    index = LexicalIndex(np.arange(4000, dtype=np.int64), documents, 3, PLAN)
    columns: list[int] = []
    original = LexicalIndex._walk

    def spy(self: LexicalIndex, *args: Any) -> Any:
        walk = original(self, *args)
        columns.append(len(args[0]) - len(walk.rest))
        return walk

    monkeypatch.setattr(LexicalIndex, "_walk", spy)
    monkeypatch.setattr(lexical, "_COMMON_SHARE", share)

    found = index.search([0, 1], 10, everybody(4000), np.array([7, 3999], dtype=np.int64))

    assert columns == [walked]
    assert found.slots.tolist() == list(range(10))
    full = oracle(documents, [0, 1])
    assert found.scores == pytest.approx(full[:10], abs=1e-4)
    assert found.others == pytest.approx(full[[7, 3999]], abs=1e-4)


def test_a_query_of_common_words_alone_still_fills_the_pool() -> None:
    documents = [[0, 1] if number % 2 else [0] for number in range(3000)]
    index = LexicalIndex(np.arange(3000, dtype=np.int64), documents, 2, PLAN)

    found = index.search([0, 1], 50, everybody(3000), np.empty(0, dtype=np.int64))

    assert found.slots.tolist() == list(range(1, 100, 2))


def test_slots_need_not_be_dense_and_unknown_ones_score_zero() -> None:
    index = LexicalIndex(np.array([3, 40, 41]), [[0], [1], [0, 0]], 2, PLAN)

    found = index.search([0], 5, everybody(50), np.array([0, 3, 40, 41, 49]))

    assert set(found.slots.tolist()) == {3, 41}
    assert [score > 0 for score in found.others] == [False, True, False, True, False]


@pytest.mark.parametrize("documents", [[], [[]], [[], []]], ids=["none", "one-empty", "two-empty"])
def test_an_index_without_words_finds_nothing(documents: list[list[int]]) -> None:
    index = LexicalIndex(np.arange(len(documents), dtype=np.int64), documents, 5, PLAN)

    found = index.search([1, 2], 5, everybody(2), np.array([0, 1]))

    assert found.slots.size == 0
    assert found.others.tolist() == [0.0, 0.0]


def test_a_term_newer_than_the_index_scores_nothing() -> None:
    index = LexicalIndex(np.array([0]), [[0]], 1, PLAN)

    found = index.search([0, 99], 5, everybody(1), np.array([0]))

    assert found.slots.tolist() == [0]
