"""A session is its last three queries, for a while, among so many others; anything else is no session."""

import numpy as np
import pytest

from services.gateway.sessions import Sessions, key_of
from trimtab.contracts.tensor import Matrix

NORTH, EAST, UP = np.eye(3, dtype=np.float32)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def query(vector: np.ndarray) -> Matrix:
    return Matrix.of(vector[np.newaxis].astype(np.float32))


def asked(*vectors: np.ndarray, capacity: int = 8, clock: Clock | None = None) -> Sessions:
    sessions = Sessions(capacity, 60.0, clock or Clock())
    for vector in vectors:
        sessions.note("a", query(vector))
    return sessions


def recalled(sessions: Sessions, key: str = "a") -> np.ndarray | None:
    found = sessions.recall(key, 3)
    return None if found is None else found.array()[0]


def test_what_was_never_asked_is_no_session() -> None:
    assert recalled(asked()) is None
    assert recalled(asked(NORTH), "b") is None


def test_earlier_queries_are_recalled_as_their_mean_at_unit_length() -> None:
    assert recalled(asked(NORTH, EAST)) == pytest.approx([2**-0.5, 2**-0.5, 0.0])


def test_only_the_last_three_queries_count() -> None:
    assert recalled(asked(UP, NORTH, EAST, NORTH)) == pytest.approx(
        np.array([2.0, 1.0, 0.0]) / 5**0.5
    )


def test_a_query_that_is_sent_again_counts_once() -> None:
    assert recalled(asked(NORTH, EAST, EAST, EAST)) == pytest.approx([2**-0.5, 2**-0.5, 0.0])


def test_queries_that_cancel_each_other_out_are_no_session() -> None:
    assert recalled(asked(NORTH, -NORTH)) is None


def test_a_session_is_forgotten_some_time_after_its_last_query() -> None:
    clock = Clock()
    sessions = asked(NORTH, clock=clock)

    clock.now = 50.0
    sessions.note("a", query(EAST))
    clock.now = 110.0
    assert recalled(sessions) is not None
    clock.now = 110.1
    assert recalled(sessions) is None

    sessions.note("b", query(UP))
    assert len(sessions) == 1


def test_the_longest_unused_session_makes_room_for_a_new_one() -> None:
    sessions = asked(NORTH, capacity=2)
    sessions.note("b", query(EAST))
    sessions.note("a", query(UP))
    sessions.note("c", query(UP))

    assert len(sessions) == 2
    assert recalled(sessions, "b") is None
    assert recalled(sessions, "a") is not None


def test_without_room_nothing_is_remembered() -> None:
    sessions = asked(NORTH, capacity=0)

    assert len(sessions) == 0
    assert recalled(sessions) is None


@pytest.mark.parametrize(
    "unusable",
    [
        pytest.param(Matrix.of(np.array([[np.nan, 0, 1]], dtype=np.float32)), id="no-number"),
        pytest.param(Matrix.of(np.zeros((2, 3), dtype=np.float32)), id="two-rows"),
        pytest.param(Matrix.of(np.zeros((1, 3), dtype=np.int8)), id="other-numbers"),
    ],
)
def test_what_is_no_query_vector_is_not_remembered(unusable: Matrix) -> None:
    sessions = asked(NORTH)

    sessions.note("a", unusable)

    assert recalled(sessions) == pytest.approx(NORTH)


def test_vectors_of_another_dimension_are_not_mixed_in() -> None:
    sessions = asked(NORTH)

    assert sessions.recall("a", 4) is None


def test_a_key_shows_nothing_and_depends_on_every_part_and_where_it_ends() -> None:
    key = key_of("session", "acme", "space", "s-1")

    assert len(key) == 32
    assert "acme" not in key
    assert (
        len(
            {
                key,
                key_of("session", "acme", "space", "s-2"),
                key_of("session", "acmes", "pace", "s-1"),
            }
        )
        == 3
    )
