"""The loss is what its definition says and its gradients are those of a slow difference quotient."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from services.reranker.descent import (
    Parameters,
    Schedule,
    adam,
    first_weights,
    forward,
    gradients,
    listwise_loss,
)
from services.reranker.examples import Examples
from tests.unit.reranker.pools import solvable


def padded() -> Examples:
    """Five queries of which the last candidates are padding with absurd features."""
    examples = solvable(queries=5, count=6)
    features = examples.features.copy()
    features[:, 4:] = 1e3
    relevant = np.zeros_like(examples.relevant)
    relevant[:, 1] = True
    present = np.ones_like(examples.present)
    present[:, 4:] = False
    return Examples(features, relevant, present, examples.clusters)


def test_the_loss_of_a_perfect_order_is_zero_and_of_no_opinion_the_log_of_the_pool() -> None:
    examples = solvable(queries=3, count=10)
    sure = np.where(examples.relevant, np.float32(100.0), np.float32(0.0))

    assert listwise_loss(sure, examples)[0] == pytest.approx(0.0, abs=1e-6)
    assert listwise_loss(np.zeros_like(sure), examples)[0] == pytest.approx(np.log(10.0))


def test_padding_takes_no_part_in_the_loss() -> None:
    logits = np.zeros((5, 6), dtype=np.float32)
    logits[:, 4:] = 50.0

    loss, gradient = listwise_loss(logits, padded())

    assert loss == pytest.approx(np.log(4.0))
    assert not gradient[:, 4:].any()


@pytest.mark.parametrize("name", ["w1", "b1", "w2"])
def test_gradients_are_those_of_the_difference_quotient(name: str) -> None:
    small = padded()
    examples = replace(small, features=np.tanh(small.features).astype(np.float64))
    drawn = first_weights(4, 5, np.random.default_rng(2))
    precise: list[Any] = [part.astype(np.float64) for part in (drawn.w1, drawn.b1, drawn.w2)]
    start = Parameters(*precise)
    exact = dict(zip(("w1", "b1", "w2"), gradients(start, examples), strict=True))[name]
    step = 1e-5

    for place in np.ndindex(exact.shape):
        losses = []
        for sign in (1.0, -1.0):
            moved = getattr(start, name).copy()
            moved[place] += sign * step
            logits = forward(replace(start, **{name: moved}), examples.features)[0]
            losses.append(listwise_loss(logits, examples)[0])
        assert (losses[0] - losses[1]) / (2 * step) == pytest.approx(exact[place], abs=1e-6)


def test_descending_lowers_the_loss_and_the_last_epoch_is_the_last() -> None:
    examples = solvable()
    rng = np.random.default_rng(1)
    start = first_weights(4, 8, rng)
    epochs: list[Parameters] = list(adam(start, examples, Schedule(epochs=8, batch=16), rng))

    losses = [listwise_loss(forward(each, examples.features)[0], examples)[0] for each in epochs]
    assert len(epochs) == 8
    assert losses[-1] < losses[0] < listwise_loss(forward(start, examples.features)[0], examples)[0]
