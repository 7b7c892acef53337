from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from services.mapper.model.adapter import Feature
from services.mapper.model.calibration import Kind
from services.mapper.training.corpus import assemble, folds, wanted_texts
from services.mapper.training.descent import Training
from services.mapper.training.examples import Example
from services.mapper.training.fit import Recipe, Untrainable, fit, fit_weights, narrowed
from tests.unit.mapper import tiny
from tests.unit.mapper.shipped import taxonomy

pytest.importorskip("sklearn", reason="training needs the extra trimtab[train]")

RECIPE = Recipe(Training(hidden=16, epochs=20, batch=16), buckets=tiny.BUCKETS, folds=3)


def test_a_fold_never_parts_a_group_and_every_row_is_held_out_once() -> None:
    groups = np.array([3, 3, 1, 2, 2, 2, 7, 9, 9, 0])

    splits = folds(groups, 3, seed=1)

    held = np.concatenate([held for _, held in splits])
    assert sorted(held.tolist()) == list(range(10))
    for seen, out in splits:
        assert not set(groups[seen]) & set(groups[out])


def test_clear_cut_labels_are_learnt_and_their_confidence_is_calibrated() -> None:
    corpus = tiny.corpus()

    fitted = fit(corpus, RECIPE)

    assert fitted.held.answers == len(corpus.groups)
    assert fitted.held.top1 > 0.9
    assert fitted.held.top3 == 1.0
    assert fitted.errors[1] < 0.1
    assert set(fitted.adapter.weights) <= set(RECIPE.features)
    assert min(fitted.adapter.weights.values()) > 0


def test_the_calibration_that_is_taken_is_the_best_on_answers_that_it_never_saw() -> None:
    fitted = fit(tiny.corpus(), RECIPE)

    told = {kind: fitted.held.distances[kind] for kind in Kind}
    assert told[fitted.kind] == min(told.values())
    assert set(fitted.held.errors) == {"raw", *Kind}


def test_parts_whose_score_got_no_weight_are_left_out() -> None:
    features = (Feature.DESCRIPTION, Feature.NETWORK)

    adapter = fit(tiny.corpus(), replace(RECIPE, features=features)).adapter

    assert set(adapter.weights) <= set(features)
    assert adapter.terms is None
    assert adapter.sentences is None
    assert not len(adapter.examples.labels)


def test_the_right_label_is_always_among_the_candidates() -> None:
    rng = np.random.default_rng(3)
    table = rng.standard_normal((50, 9, 2)).astype(np.float32)
    targets = rng.integers(0, 9, 50)

    narrow, places = narrowed(table, targets, 4)

    assert narrow.shape == (50, 4, 2)
    assert np.array_equal(narrow[np.arange(50), places], table[np.arange(50), targets])
    best = table.sum(axis=2).argmax(axis=1)
    for row in range(50):
        assert (narrow[row] == table[row, best[row]]).all(axis=1).sum() == 1


def test_training_twice_gives_the_same_adapter() -> None:
    first, second = (fit(tiny.corpus(), RECIPE).adapter for _ in range(2))

    assert first.network is not None
    assert second.network is not None
    assert np.array_equal(first.network.rows, second.network.rows)
    assert first.weights == second.weights
    assert first.calibration == second.calibration


def test_the_score_that_tells_labels_apart_gets_the_weight() -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 4, 400)
    table = rng.standard_normal((400, 4, 2)).astype(np.float32)
    table[np.arange(400), targets, 0] += 3

    weights: NDArray[np.float32] = fit_weights(table, targets, 1e-3)

    assert weights[0] > 0.5
    assert weights[1] < 0.2 * weights[0]


def test_the_gradient_leads_to_a_minimum() -> None:
    rng = np.random.default_rng(1)
    targets = rng.integers(0, 3, 200)
    table = rng.standard_normal((200, 3, 2)).astype(np.float32)
    table[np.arange(200), targets] += 0.7

    def loss(weights: NDArray[np.float32]) -> float:
        logits = table @ weights
        logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return float(-logs[np.arange(200), targets].mean() + 1e-3 * weights @ weights)

    best = fit_weights(table, targets, 1e-3)

    for step in np.eye(2, dtype=np.float32) * 0.05:
        assert loss(best) < loss(best + step)
        assert loss(best) < loss(best - step)


def test_texts_and_vectors_are_joined_in_one_order() -> None:
    given = [
        Example("1", "openai-moderation", "hate/threatening", ("HARM.SPEECH.HateThreat",), "g")
    ]
    texts = wanted_texts(taxonomy(), given)
    marks = np.arange(len(texts), dtype=np.float32)[:, np.newaxis]

    corpus = assemble(taxonomy(), given, marks)

    assert corpus.examples.texts == ("hate threatening",)
    assert corpus.labels[corpus.examples.labels[0]] == "HARM.SPEECH.HateThreat"
    for part in (corpus.examples, corpus.descriptions, corpus.aliases):
        assert [texts[int(mark)] for mark in part.vectors[:, 0]] == list(part.texts)
    for text, label in zip(corpus.aliases.texts, corpus.aliases.labels, strict=True):
        assert text in taxonomy().labels[corpus.labels[label]].aliases
    with pytest.raises(ValueError, match="vectors for"):
        assemble(taxonomy(), given, marks[1:])


def test_fewer_groups_than_folds_are_held_out_one_by_one_and_a_single_one_is_refused() -> None:
    few = fit(tiny.corpus(groups_per_label=1), RECIPE)
    assert few.held.answers == 9

    corpus = tiny.corpus()
    alone = replace(corpus, groups=np.zeros_like(corpus.groups))
    with pytest.raises(Untrainable, match="one group"):
        fit(alone, RECIPE)
