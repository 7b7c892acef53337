"""Equal recall: the smallest knob that finds as much, and a peer that cannot is not hidden."""

import numpy as np
import pytest

from benchmarks.search_sample import exact
from benchmarks.search_tuning import recall, tune


def rising(effort: int) -> float:
    return min(1.0, effort / 100)


def test_recall_is_the_share_of_the_true_nearest_among_the_first_ten() -> None:
    found = [[1, 2, 3], [*range(100, 110), 7]]
    truth = [frozenset({1, 2, 9}), frozenset({7})]

    assert recall(found, truth) == pytest.approx(2 / 4)


@pytest.mark.parametrize("wanted", [0.02, 0.31, 0.5, 0.97, 1.0])
def test_the_knob_is_the_smallest_that_reaches_the_recall_to_a_sixteenth(wanted: float) -> None:
    tuned = tune(rising, 1, 1000, wanted)

    assert tuned.reached
    assert tuned.recall >= wanted
    assert rising(tuned.effort - max(1, tuned.effort // 16)) < wanted


def test_a_knob_that_is_enough_at_its_least_stays_there() -> None:
    assert tune(rising, 16, 1000, 0.1).effort == 16


def test_a_peer_that_never_finds_as_much_is_said_to_fall_short() -> None:
    tuned = tune(lambda effort: 0.9 * rising(effort), 1, 300, 0.95)

    assert not tuned.reached
    assert tuned.effort == 300
    assert tuned.recall == pytest.approx(0.9)


def test_the_largest_value_is_never_exceeded() -> None:
    asked: list[int] = []

    def seen(effort: int) -> float:
        asked.append(effort)
        return 0.0

    tune(seen, 1, 81, 1.0)

    assert max(asked) == 81


def test_exact_answers_are_those_of_a_comparison_with_every_vector(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("benchmarks.search_sample._CHUNK", 70)  # several chunks, the last one short
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((500, 16)).astype(np.float32)
    queries = rng.standard_normal((20, 16)).astype(np.float32)

    rows = exact(queries, vectors)

    expected = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    assert np.array_equal(rows, expected)
