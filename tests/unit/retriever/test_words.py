"""Words of a collection that changes: found at once by every edition, and kept in few segments beside the searches."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from services.retriever.edition import Edition
from services.retriever.lanes import Lanes
from services.retriever.passages.store import StoredPassage
from services.retriever.words import segments
from services.retriever.words.lexical import LexicalIndex
from services.retriever.words.segment import Segment
from services.retriever.words.wordcare import WordCare
from tests.unit.retriever.corpora import PLAN, attached, build, clustered, passage, take_in
from trimtab.telemetry import logs

VECTORS = clustered(np.random.default_rng(0), 300, 16)


def found(edition: Edition, word: str) -> list[int]:
    visible = edition.collection.visible("public")
    match = edition.matches([word], 100, visible, np.empty(0, dtype=np.int64))
    return sorted(int(slot) for slot in match.slots)


def say(edition: Edition, slot: int, text: str) -> None:
    stored = passage(slot, VECTORS[slot], text=text)
    take_in(edition.collection, [StoredPassage(slot, 900, stored.hit, VECTORS[slot], b"")])


def test_every_edition_finds_new_words_at_once_and_old_ones_no_longer() -> None:
    first, _ = build(VECTORS[:20], texts=["apple"] * 20)
    second = attached(first.collection, PLAN, "hybrid@2")
    say(first, 3, "cherry")
    say(first, 20, "cherry")

    for edition in (first, second):
        assert found(edition, "cherri") == [3, 20]
    assert found(first, "appl") == [n for n in range(20) if n != 3]


def test_words_of_a_removed_passage_are_not_found() -> None:
    edition, _ = build(VECTORS[:20], texts=["apple"] * 20)

    edition.collection.remove(np.array([4, 5]), 900)

    assert found(edition, "appl") == [n for n in range(20) if n not in (4, 5)]


def test_what_changes_while_an_index_is_made_is_in_it_when_it_is_adopted() -> None:
    edition, _ = build(VECTORS[:20], texts=["apple"] * 20)
    given = edition.begin_lexical()
    say(edition, 3, "cherry")
    say(edition, 20, "cherry")
    edition.collection.remove(np.array([4]), 900)

    index = LexicalIndex(given.slots, given.documents, given.vocabulary, PLAN.lexical)
    edition.adopt_lexical(index, given.generation)

    assert edition.lexical is index
    assert found(edition, "cherri") == [3, 20]
    assert found(edition, "appl") == [n for n in range(20) if n not in (3, 4)]
    assert edition.lexical_generation == edition.collection.generation


@contextmanager
def lanes() -> Iterator[Lanes]:
    made = Lanes()
    try:
        yield made
    finally:
        made.close()


async def test_settling_leaves_few_segments_and_every_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "_AT_ONCE", 0)
    edition, _ = build(VECTORS[:20], texts=["apple"] * 20)
    for slot in range(20, 80):
        say(edition, slot, "cherry")
    assert edition.lexical.segments == 61

    with lanes() as threads:
        await WordCare(threads, lambda: [edition.lexical], logs.get("retriever", "r-0")).settle()

    assert edition.lexical.segments <= 3
    assert found(edition, "cherri") == list(range(20, 80))
    assert edition.lexical.size == 80
    assert edition.lexical.due() is None


async def test_an_index_that_was_replaced_while_it_was_merged_stays_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(segments, "_AT_ONCE", 0)
    edition, _ = build(VECTORS[:20], texts=["apple"] * 20)
    for slot in range(20, 40):
        say(edition, slot, "cherry")
    given = edition.begin_lexical()
    other = LexicalIndex(given.slots, given.documents, given.vocabulary, PLAN.lexical)
    original = segments.Merge.run

    def replaced(merge: segments.Merge) -> Segment:
        if edition.lexical is not other:
            edition.adopt_lexical(other, given.generation)
        return original(merge)

    monkeypatch.setattr(segments.Merge, "run", replaced)
    with lanes() as threads:
        await WordCare(threads, lambda: [edition.lexical], logs.get("retriever", "r-0")).settle()

    assert edition.lexical is other
    assert found(edition, "cherri") == list(range(20, 40))
