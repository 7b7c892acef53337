"""An answer is always a permutation with probabilities, best first, whatever the signals."""

import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.reranker.component import Component
from services.reranker.features import names
from services.reranker.model import Mlp, relevance
from services.reranker.ranking import FIRST_CHANGED, UNSOUND_SIGNAL, WITHOUT_MAXSIM, rank
from tests.unit.reranker.pools import component, drawn, make, row


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Component:
    return component(tmp_path_factory.mktemp("full"), "full")


@pytest.fixture(scope="module")
def runbook4(tmp_path_factory: pytest.TempPathFactory) -> Component:
    return component(tmp_path_factory.mktemp("runbook4"), "runbook4")


def by_cosine(folder: Path) -> Component:
    """A component whose logit is the cosine."""
    made = component(folder, "runbook4")
    inputs = len(names("runbook4"))
    w1 = np.zeros((inputs, 2), dtype=np.float32)
    w1[0] = (1.0, -1.0)
    network = Mlp(
        means=np.zeros(inputs, dtype=np.float32),
        scales=np.ones(inputs, dtype=np.float32),
        w1=w1,
        b1=np.zeros(2, dtype=np.float32),
        w2=np.array([1.0, -1.0], dtype=np.float32),
        b2=np.array(0.0, dtype=np.float32),
    )
    return Component(made.reference, made.content_hash, made.card, network)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 60), data=st.data())
def test_the_order_is_a_permutation_by_score_and_broken_candidates_come_last(
    full: Component, seed: int, count: int, data: st.DataObject
) -> None:
    signals = drawn(seed, count)
    broken = data.draw(st.sets(st.integers(0, count - 1), max_size=3))
    cosine = signals.cosine.array()[0].copy()
    cosine[list(broken)] = np.nan

    reply = rank(msgspec.structs.replace(signals, cosine=row(cosine)), full).reply

    scores = [reply.scores[place] for place in reply.order]
    assert sorted(reply.order) == list(range(count))
    assert all(0.0 <= score <= 1.0 for score in reply.scores)
    assert scores == sorted(scores, reverse=True)
    assert set(reply.order[count - len(broken) :]) == broken
    assert all(reply.scores[place] == 0.0 for place in broken)


def test_greater_relevance_comes_first_and_moves_are_counted(tmp_path: Path) -> None:
    ranked = rank(make([4, 3, 2, 1], cosine=[0.1, 0.9, 0.5, 0.0]), by_cosine(tmp_path))

    assert ranked.reply.order == [1, 2, 0, 3]
    assert ranked.reply.moved == 3
    assert ranked.reply.first_changed
    assert FIRST_CHANGED in ranked.bad


def test_equal_relevance_keeps_the_retrieval_order(tmp_path: Path) -> None:
    ranked = rank(make([1, 3, 2], cosine=[0.5, 0.5, 0.5]), by_cosine(tmp_path))

    assert ranked.reply.order == [1, 2, 0]
    assert ranked.reply.moved == 0
    assert not ranked.reply.first_changed
    assert ranked.bad == ()


def test_candidates_sent_in_another_order_are_compared_with_the_retrieval_order(
    tmp_path: Path,
) -> None:
    ranked = rank(make([1, 2, 3], cosine=[0.1, 0.9, 0.5]), by_cosine(tmp_path))

    assert ranked.reply.order == [1, 2, 0]
    assert ranked.reply.moved == 2
    assert ranked.reply.first_changed


def test_relevance_is_the_logistic_function_of_the_logit(tmp_path: Path) -> None:
    ranked = rank(make([2, 1], cosine=[0.5, -0.25]), by_cosine(tmp_path))

    assert ranked.reply.scores == pytest.approx(
        [1 / (1 + math.exp(-0.5)), 1 / (1 + math.exp(0.25))]
    )


def test_relevance_of_extreme_logits_neither_overflows_nor_leaves_its_range() -> None:
    scores = relevance(np.array([-np.inf, -1e30, 0.0, 1e30], dtype=np.float32))

    assert scores.tolist() == [0.0, 0.0, 0.5, 1.0]


def test_missing_token_vectors_are_noted_only_where_they_are_wanted(
    full: Component, runbook4: Component
) -> None:
    signals = drawn(4, 20, with_maxsim=False)

    assert WITHOUT_MAXSIM in rank(signals, full).bad
    assert WITHOUT_MAXSIM not in rank(signals, runbook4).bad
    assert WITHOUT_MAXSIM not in rank(drawn(4, 20), full).bad


def test_an_unusable_signal_is_noted(full: Component) -> None:
    signals = msgspec.structs.replace(drawn(4, 3), bm25=row([1.0, math.nan, 0.0]))

    assert UNSOUND_SIGNAL in rank(signals, full).bad
    assert UNSOUND_SIGNAL not in rank(drawn(4, 3), full).bad


def test_the_runbooks_four_features_never_look_at_bm25_or_maxsim(runbook4: Component) -> None:
    signals = drawn(9, 30)
    others = msgspec.structs.replace(signals, bm25=row([0.0] * 30), maxsim=None)

    assert rank(signals, runbook4).reply == rank(others, runbook4).reply
