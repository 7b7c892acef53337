"""Simulated sessions: what the same article's reader asked just before, and what somebody else asked."""

import numpy as np
import pytest

from benchmarks.rerank_data import Query, Task, mixed
from benchmarks.rerank_sessions import EARLIER, earlier, foreign, mean
from trimtab.contracts.documents import Document


def task(name: str, articles: dict[str, int], shuffle: int = 3) -> Task:
    """A task whose queries ask for every passage of its articles, in another order than the passages'."""
    documents = [
        Document(id=f"{name}-{article}-{number}", text="x", article=article)
        for article, size in articles.items()
        for number in range(size)
    ]
    queries = [
        Query(f"about {each.id}", each.id, f"{name}/{each.article}")
        for each in documents[shuffle:] + documents[:shuffle]
    ]
    return Task(name, documents, [], queries)


def asked_before(of: Task) -> dict[str, list[str]]:
    found = earlier(of, "test")
    return {
        query.relevant: [of.test[each].relevant for each in before]
        for query, before in zip(of.test, found, strict=True)
    }


def test_a_reader_asked_for_the_passages_just_before_oldest_first() -> None:
    found = asked_before(task("opsdocs", {"a": 5, "b": 1}))

    assert found["opsdocs-a-0"] == []
    assert found["opsdocs-a-1"] == ["opsdocs-a-0"]
    assert found["opsdocs-a-4"] == [f"opsdocs-a-{n}" for n in (1, 2, 3)]
    assert found["opsdocs-b-0"] == []


def test_an_actors_behaviours_come_in_no_order_and_never_from_another_actor() -> None:
    actors = task("attack", {"a": 6, "b": 4})
    found = earlier(actors, "test")

    for query, before in zip(actors.test, found, strict=True):
        assert {actors.test[each].cluster for each in before} <= {query.cluster}
        assert len(before) <= EARLIER
    assert any(len(before) == EARLIER for before in found)


def test_sessions_of_collections_in_one_are_those_of_each() -> None:
    parts = [task("attack", {"a": 4}), task("opsdocs", {"a": 4})]

    assert asked_before(mixed(parts)) == asked_before(parts[0]) | asked_before(parts[1])


def test_a_foreign_session_is_of_another_article_whenever_there_is_one() -> None:
    several = task("opsdocs", {"a": 4, "b": 4, "c": 1})
    own = earlier(several, "test")

    for query, other in zip(several.test, foreign(several.test, own), strict=True):
        assert other
        assert query.cluster not in {several.test[each].cluster for each in other}


def test_without_another_article_there_is_no_foreign_session() -> None:
    alone = task("opsdocs", {"a": 4})

    assert foreign(alone.test, earlier(alone, "test")) == [[]] * 4


def test_a_session_is_the_mean_of_its_queries_at_unit_length() -> None:
    vectors = np.eye(3, dtype=np.float32)

    assert mean(vectors, []) is None
    assert mean(vectors, [0, 2]) == pytest.approx([2**-0.5, 0.0, 2**-0.5])
