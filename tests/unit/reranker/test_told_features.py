"""Who asks is told what the reranker looked at: the values of its best candidates, by the set's own names."""

from pathlib import Path

import numpy as np
import pytest

from services.reranker.candidates import from_signals
from services.reranker.component import Component
from services.reranker.features import matrix, names
from services.reranker.ranking import rank
from tests.unit.reranker.pools import component, drawn


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Component:
    return component(tmp_path_factory.mktemp("full"), "full")


@pytest.mark.parametrize("feature_set", ["runbook4", "full"])
def test_the_values_are_those_of_the_best_in_the_order_of_their_rank(
    feature_set: str, tmp_path: Path
) -> None:
    under_test = component(tmp_path, feature_set)  # type: ignore[arg-type]
    signals = drawn(1, 30)

    reply = rank(signals, under_test, features_of=5).reply

    assert reply.features is not None
    assert tuple(reply.features.names) == names(under_test.card.feature_set)
    assert reply.features.positions == reply.order[:5]
    everything = matrix(from_signals(signals), under_test.card.feature_set)
    assert np.array_equal(reply.features.values.array(), everything[reply.order[:5]])


def test_nobody_who_does_not_ask_is_told(full: Component) -> None:
    assert rank(drawn(2, 10), full).reply.features is None


def test_asking_changes_nothing_else(full: Component) -> None:
    signals = drawn(3, 20)

    asked, unasked = rank(signals, full, features_of=5).reply, rank(signals, full).reply

    assert (asked.order, asked.scores, asked.moved) == (
        unasked.order,
        unasked.scores,
        unasked.moved,
    )


def test_a_pool_smaller_than_what_was_asked_is_told_whole(full: Component) -> None:
    reply = rank(drawn(4, 3), full, features_of=5).reply

    assert reply.features is not None
    assert reply.features.positions == reply.order
    assert reply.features.values.rows == 3
