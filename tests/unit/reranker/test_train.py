"""Training learns what can be learnt, repeats itself, keeps clusters whole and says when it cannot."""

from dataclasses import replace

import numpy as np
import pytest

from services.reranker.calibration import calibration_error
from services.reranker.model import Mlp
from services.reranker.train import Untrainable, train
from tests.unit.reranker.pools import QUICK, solvable


def first_is_right(network: Mlp, seed: int) -> float:
    unseen = solvable(queries=200, seed=seed)
    first = network.logits(unseen.features).argmax(axis=1)
    return float(unseen.relevant[np.arange(len(first)), first].mean())


def test_a_rule_in_the_features_is_learnt_and_holds_on_queries_that_were_not_seen() -> None:
    network = train(solvable(), QUICK).network

    assert first_is_right(network, seed=99) > 0.8  # chance is 0.1


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    examples = solvable()
    one, again = train(examples, QUICK).network, train(examples, QUICK).network
    other = train(examples, replace(QUICK, seed=8)).network

    assert one.w1.tobytes() == again.w1.tobytes()
    assert one.w2.tobytes() == again.w2.tobytes()
    assert one.w1.tobytes() != other.w1.tobytes()


def test_members_are_averaged_into_one_network_of_all_their_hidden_units() -> None:
    examples = solvable()
    both = train(examples, QUICK).network
    singles = [
        train(examples, replace(QUICK, members=1, seed=QUICK.seed + number)).network
        for number in range(2)
    ]

    mean = (singles[0].logits(examples.features) + singles[1].logits(examples.features)) / 2

    assert both.w1.shape == (4, 2 * QUICK.hidden)
    assert both.logits(examples.features) == pytest.approx(mean, abs=1e-3)


def test_relevance_is_calibrated_also_where_some_queries_have_no_answer() -> None:
    examples = solvable(queries=400)
    relevant = examples.relevant.copy()
    relevant[::2] = False  # every second query: the right answer is not among its candidates
    trained = train(replace(examples, relevant=relevant), QUICK)

    unseen = solvable(queries=400, seed=99)
    labels = unseen.relevant.copy()
    labels[::2] = False

    scores = trained.calibration.relevance(trained.network.logits(unseen.features))
    assert scores.mean() == pytest.approx(labels.mean(), rel=0.15)
    assert calibration_error(scores.ravel(), labels.ravel()) < 0.05


def test_a_feature_that_never_varies_does_no_harm() -> None:
    examples = solvable()
    constant = np.full((*examples.features.shape[:2], 1), 3.0, dtype=np.float32)
    wider = replace(examples, features=np.concatenate([examples.features, constant], axis=2))

    network = train(wider, QUICK).network

    assert np.isfinite(network.logits(wider.features)).all()
    assert network.scales[-1] == 1.0


def test_too_few_clusters_to_hold_some_out_are_refused() -> None:
    examples = replace(solvable(queries=20), clusters=np.zeros(20, dtype=np.int64))

    with pytest.raises(Untrainable, match="1 clusters are too few"):
        train(examples, QUICK)


def test_examples_without_an_answer_are_refused() -> None:
    examples = solvable(queries=60)

    with pytest.raises(Untrainable, match="no query has a relevant candidate"):
        train(replace(examples, relevant=np.zeros_like(examples.relevant)), QUICK)


def test_the_figures_say_what_was_trained_on() -> None:
    figures = train(solvable(), QUICK).figures

    assert figures["examples"] == figures["answerable"] == 120
    assert figures["clusters"] == 40
    assert figures["members"] == 2
