"""What is learnt beside a network helps who has the new features and changes nothing for who has not."""

from dataclasses import replace

import numpy as np
import pytest

from services.reranker.descent import Schedule
from services.reranker.examples import Examples
from services.reranker.model import Mlp
from services.reranker.residual import train_beside
from services.reranker.train import Recipe, Trained, Untrainable, train
from tests.unit.reranker.pools import QUICK, solvable

BESIDE = Recipe(
    members=2,
    hidden=8,
    schedule=Schedule(epochs=20, batch=8, learning_rate=0.02, biased=False),
)


def told(seed: int = 5, queries: int = 120) -> Examples:
    """Examples whose third and fourth feature know the answer, for every second query; 0 for the others."""
    examples = solvable(queries=queries, seed=seed)
    features = examples.features.copy()
    features[..., 2] = examples.relevant
    features[..., 3] = 1.0
    features[1::2, :, 2:] = 0.0
    features[..., :2] += np.random.default_rng(seed).standard_normal(features[..., :2].shape)
    return replace(examples, features=features)


def first_of(examples: Examples) -> Trained:
    return train(replace(examples, features=examples.features[..., :2]), QUICK)


def right(network: Mlp, examples: Examples) -> float:
    first = network.logits(examples.features).argmax(axis=1)
    return float(examples.relevant[np.arange(len(first)), first].mean())


def test_without_the_new_features_the_answer_is_exactly_that_of_the_first_network() -> None:
    first = first_of(told())
    both = train_beside(first, told(), BESIDE).network
    without = told(seed=99).features[1::2]

    assert both.logits(without) == pytest.approx(first.network.logits(without[..., :2]), abs=1e-6)
    assert (
        both.logits(without).argsort(axis=1).tolist()
        == first.network.logits(without[..., :2]).argsort(axis=1).tolist()
    )


def test_with_them_it_is_right_where_the_first_network_was_not() -> None:
    first = first_of(told())
    both = train_beside(first, told(), BESIDE).network
    having = told(seed=99, queries=400).pick(np.arange(0, 400, 2))
    known = replace(having, features=having.features[..., :2])

    assert right(both, having) > right(first.network, known) + 0.2


def test_scores_are_read_off_the_first_networks_curve() -> None:
    first = first_of(told())

    assert train_beside(first, told(), BESIDE).calibration == first.calibration


def test_the_same_seed_gives_the_same_weights() -> None:
    first = first_of(told())

    one, again = (train_beside(first, told(), BESIDE).network for _ in range(2))

    assert one.w1.tobytes() == again.w1.tobytes()


def test_examples_without_the_new_features_are_refused() -> None:
    examples = told()
    bare = examples.features.copy()
    bare[..., 2:] = 0.0

    with pytest.raises(Untrainable, match="no query has the new features"):
        train_beside(first_of(examples), replace(examples, features=bare), BESIDE)
