"""BM25 against bm25s itself: the pruned search must be exact, and a changed index must be as one made at once."""

from typing import Any

import bm25s
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.retriever.passages.visibility import Visibility, VisibleSet
from services.retriever.plan import LexicalPlan
from services.retriever.words import lexical, segment, segments, walk
from services.retriever.words.lexical import DRIFT, LexicalIndex
from services.retriever.words.segment import LiveSegment

PLAN = LexicalPlan(k1=1.5, b=0.75)
VOCABULARY = 12


def everybody(count: int) -> VisibleSet:
    visibility = Visibility()
    visibility.put(np.arange(count, dtype=np.int64), ["public"] * count)
    return visibility.of("public")


def long_columns(patch: pytest.MonkeyPatch, postings: int) -> None:
    """Let columns be long, and have all that long ones have, from so many postings on."""
    patch.setattr(walk, "LONG_COLUMN", postings)
    patch.setattr(segment, "LONG_COLUMN", postings)
    patch.setattr(segment, "_LARGE", max(postings, 4))
    patch.setattr(segment, "_CHAMPIONS", 3)


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
        long_columns(patch, long_column)
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
        long_columns(patch, long_column)
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
    original = LiveSegment._walk

    def spy(self: LiveSegment, *args: Any) -> None:
        met, before = args[0], len(args[0].rest)
        original(self, *args)
        columns.append(before - len(met.rest))

    monkeypatch.setattr(LiveSegment, "_walk", spy)
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


SLOTS = 30
Change = tuple[str, dict[int, list[int]]]
documents_by_slot = st.dictionaries(
    st.integers(0, SLOTS - 1),
    st.lists(st.integers(0, VOCABULARY - 1), max_size=12),
    max_size=12,
)
changes_of = st.lists(
    st.tuples(st.sampled_from(["put", "remove", "begin", "end"]), documents_by_slot), max_size=25
)


class Steps:
    """An index under change, and what it should hold."""

    def __init__(self) -> None:
        self.index = LexicalIndex(np.empty(0, dtype=np.int64), [], 0, PLAN)
        self.held: dict[int, list[int]] = {}
        self._merge: segments.Merge | None = None

    def take(self, change: Change) -> None:
        kind, documents = change
        slots = np.array(list(documents), dtype=np.int64)
        match kind:
            case "put":
                self.index.put(slots, list(documents.values()))
                self.held |= documents
            case "remove":
                self.index.remove(slots)
                self.held = {slot: d for slot, d in self.held.items() if slot not in documents}
            case "begin":
                self._merge = self.index.due()
            case "end" if self._merge is not None:
                self.index.adopt(self._merge, self._merge.run())
                self._merge = None

    def settle(self) -> None:
        while merge := self.index.due():
            self.index.adopt(merge, merge.run())

    def rebuilt(self) -> LexicalIndex:
        slots = np.array(sorted(self.held), dtype=np.int64)
        return LexicalIndex(slots, [self.held[slot] for slot in sorted(self.held)], 0, PLAN)


@pytest.mark.parametrize(("at_once", "ratio"), [(4, 3.0), (0, 0.5), (0, 0.0), (512, 3.0)])
@settings(deadline=None, max_examples=60)
@given(
    changes_of,
    st.lists(st.integers(0, VOCABULARY - 1), max_size=8),
    st.integers(1, 12),
    st.sampled_from([1, 10_000]),
)
def test_a_changed_index_answers_as_one_made_at_once(
    at_once: int,
    ratio: float,
    changes: list[Change],
    query: list[int],
    limit: int,
    long_column: int,
) -> None:
    steps, everything = Steps(), np.arange(SLOTS, dtype=np.int64)
    with pytest.MonkeyPatch.context() as patch:
        long_columns(patch, long_column)
        patch.setattr(lexical, "_COMMON_SHARE", 1.0)
        patch.setattr(segments, "_AT_ONCE", at_once)
        patch.setattr(segments, "_RATIO", ratio)

        for change in changes:
            steps.take(change)
        rebuilt = steps.rebuilt()
        truth = rebuilt.search(query, SLOTS, everybody(SLOTS), everything)
        before = steps.index.search(query, SLOTS, everybody(SLOTS), everything)
        drift = steps.index.drift()
        steps.settle()
        after = steps.index.search(query, limit, everybody(SLOTS), everything)

    assert steps.index.size == rebuilt.size == len(steps.held)
    assert steps.index.mean == rebuilt.mean
    assert before.others == pytest.approx(truth.others, rel=drift + 1e-5)
    assert set(before.slots.tolist()) == set(truth.slots.tolist())
    assert steps.index.drift() <= DRIFT
    assert after.others == pytest.approx(truth.others, rel=DRIFT + 1e-5)
    assert after.scores == pytest.approx(truth.scores[:limit], rel=DRIFT + 1e-5)
    assert after.scores == pytest.approx(after.others[after.slots], rel=1e-5)


def test_a_change_is_found_by_the_next_search_and_what_it_replaced_is_not() -> None:
    index = LexicalIndex(np.arange(3), [[0], [1], [2]], 3, PLAN)

    index.put(np.array([1, 7]), [[4], [2, 5]])
    index.remove(np.array([0, 99]))

    def found(term: int) -> list[int]:
        matches = index.search([term], 5, everybody(8), np.empty(0, dtype=np.int64))
        return [int(slot) for slot in matches.slots]

    assert [found(term) for term in range(6)] == [[], [], [2, 7], [], [1], [7]]
    assert index.size == 3


def test_segments_stay_few_and_a_passage_is_moved_a_few_times_only() -> None:
    index = LexicalIndex(np.empty(0, dtype=np.int64), [], 0, PLAN)
    rng, moved = np.random.default_rng(0), 0
    for start in range(0, 40_000, 64):
        slots = np.arange(start, start + 64)
        index.put(slots, rng.integers(0, 50, (64, 5)).tolist())
        while merge := index.due():
            moved += len(merge.run().slots)
            index.adopt(merge, merge.run())

    assert index.segments <= 5
    assert moved <= 16 * index.size


def test_what_changes_while_segments_are_merged_is_not_lost() -> None:
    index = LexicalIndex(np.arange(600), [[0]] * 600, 1, PLAN)
    index.put(np.arange(600, 1200), [[0]] * 600)
    merge = index.due()
    assert merge is not None
    made = merge.run()

    index.remove(np.array([5]))
    index.put(np.array([700, 2000]), [[1], [1]])
    index.adopt(merge, made)

    asked = np.array([5, 6, 700, 2000])
    for term, expected in ((0, [False, True, False, False]), (1, [False, False, True, True])):
        others = index.search([term], 5, everybody(2001), asked).others
        assert (others > 0).tolist() == expected
    assert index.segments == 2


def test_a_merge_of_segments_that_are_no_longer_there_is_dropped() -> None:
    index = LexicalIndex(np.arange(600), [[0]] * 600, 1, PLAN)
    index.put(np.arange(600, 1200), [[0]] * 600)
    early, late = index.due(), index.due()
    assert early is not None
    assert late is not None

    index.adopt(late, late.run())
    index.adopt(early, early.run())

    found = index.search([0], 2000, everybody(1200), np.empty(0, dtype=np.int64))
    assert found.slots.tolist() == list(range(1200))


def test_a_segment_whose_passages_are_mostly_gone_is_made_anew() -> None:
    index = LexicalIndex(np.arange(1000), [[0, 1]] * 1000, 2, PLAN)
    index.remove(np.arange(300))

    merge = index.due()

    assert merge is not None
    assert merge.run().slots.tolist() == list(range(300, 1000))
    index.remove(np.arange(1000))
    index.adopt(merge, merge.run())
    assert (index.size, index.segments) == (0, 0)
