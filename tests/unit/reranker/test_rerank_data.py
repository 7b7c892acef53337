"""Labelled queries: no cluster on both sides, no answer given away, the same ones every time."""

import pytest

from benchmarks.rerank_data import (
    DataMissing,
    Task,
    asked_of,
    held_out,
    mixed,
    sentences,
    tasks,
    unseen,
)


@pytest.fixture(scope="module")
def learnt() -> list[Task]:
    try:
        return tasks()
    except DataMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def library() -> Task:
    return unseen(["shutil", "tarfile"])


def test_no_actor_or_article_stands_on_both_sides(learnt: list[Task]) -> None:
    for task in learnt:
        train = {query.cluster for query in task.train}
        test = {query.cluster for query in task.test}
        assert train
        assert test
        assert not train & test


def test_every_right_answer_is_a_passage_of_its_collection_exactly_once(
    learnt: list[Task], library: Task
) -> None:
    for task in (*learnt, library):
        ids = [document.id for document in task.documents]
        assert len(set(ids)) == len(ids)
        assert {query.relevant for query in (*task.train, *task.test)} <= set(ids)


def test_a_sentence_that_asks_is_no_longer_in_the_passage_that_answers(
    learnt: list[Task], library: Task
) -> None:
    for task in (learnt[1], library):
        texts = {document.id: document.text for document in task.documents}
        for query in (*task.train, *task.test):
            assert not texts[query.relevant].startswith(query.text)
            assert texts[query.relevant].strip()


def test_no_two_passages_of_a_cloze_say_the_same_before_the_sentence_is_taken(
    library: Task,
) -> None:
    asked = {query.relevant for query in library.test}
    whole = [document.text for document in library.documents if document.id not in asked]

    assert len(set(whole)) == len(whole)


def test_the_same_data_gives_the_same_queries(learnt: list[Task]) -> None:
    assert tasks() == learnt


def test_which_side_a_cluster_is_on_depends_on_its_name_alone() -> None:
    sides = [held_out(f"article {number}") for number in range(2000)]

    assert sides == [held_out(f"article {number}") for number in range(2000)]
    assert 0.3 < sum(sides) / len(sides) < 0.4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One ends. Two begins.", ["One ends.", "Two begins."]),
        ("Use a bus, e.g. NATS. It is fast.", ["Use a bus, e.g. NATS.", "It is fast."]),
        ("1. Open it. 2. Close it.", ["1. Open it. 2. Close it."]),
        ("Is it on? `top` knows!", ["Is it on?", "`top` knows!"]),
        ("Version 2.11 is out. See there.", ["Version 2.11 is out.", "See there."]),
    ],
)
def test_sentences_end_where_a_reader_would_say_so(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_both_collections_as_one_hold_every_passage_and_every_query_of_each(
    learnt: list[Task],
) -> None:
    both = mixed(learnt)
    ids = [document.id for document in both.documents]

    assert len(set(ids)) == len(ids) == sum(len(task.documents) for task in learnt)
    assert asked_of(both, "test") == [query for task in learnt for query in task.test]
    assert not {query.cluster for query in both.train} & {query.cluster for query in both.test}
