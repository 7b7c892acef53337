from dataclasses import replace

import numpy as np
import pytest

from services.mapper.model.adapter import Feature, scores
from services.mapper.model.anchors import SHARPNESS, Anchors, similarities
from services.mapper.model.calibration import Line
from services.mapper.model.heads import softmax
from tests.unit.mapper import tiny
from tests.unit.mapper.shipped import component, examples, vectors
from trimtab.contracts.mapping import FREE_TEXT

RNG = np.random.default_rng(5)
QUERIES = tiny.unit(RNG.standard_normal((7, tiny.DIMENSION)).astype(np.float32))


def test_similarities_are_those_of_the_plain_definition() -> None:
    anchors = tiny.adapter().examples
    cosines = QUERIES @ anchors.vectors.T

    greatest, mean = similarities(anchors, QUERIES, 3)

    for label in (0, 2):
        own = cosines[:, anchors.labels == label]
        assert np.allclose(greatest[:, label], own.max(axis=1))
        assert np.allclose(mean[:, label], np.log(np.exp(SHARPNESS * own).mean(axis=1)), atol=1e-5)


def test_a_label_without_anchors_takes_the_floor() -> None:
    floor = RNG.uniform(size=(7, 3)).astype(np.float32)
    none = Anchors(np.zeros((0, tiny.DIMENSION), np.float32), np.zeros(0, np.int64))

    assert np.array_equal(
        similarities(tiny.adapter().examples, QUERIES, 3, floor)[0][:, 1], floor[:, 1]
    )
    assert np.array_equal(similarities(none, QUERIES, 3, floor)[0], floor)
    assert not similarities(none, QUERIES, 3)[0].any()


def test_anchors_are_sorted_by_label_with_their_vectors() -> None:
    rows = QUERIES[:3]

    anchors = Anchors.of(rows, np.array([2, 0, 1]))

    assert anchors.labels.tolist() == [0, 1, 2]
    assert np.array_equal(anchors.vectors, rows[[1, 2, 0]])


def test_every_label_gets_every_score() -> None:
    table = scores(tiny.adapter(), QUERIES, ["hate"] * 7)

    assert table.shape == (7, 3, len(Feature))
    assert np.isfinite(table).all()


def test_a_score_without_a_weight_is_not_counted_and_needs_no_part() -> None:
    whole = tiny.adapter()
    kept = {Feature.NETWORK: 0.5, Feature.DESCRIPTION: 0.2}
    lean = replace(whole, weights=kept, dense=None, words=None, sentences=None, terms=None)

    table = scores(lean, QUERIES, ["hate"] * 7)

    columns = [list(Feature).index(feature) for feature in lean.features]
    assert lean.features == (Feature.DESCRIPTION, Feature.NETWORK)
    assert np.array_equal(table, scores(whole, QUERIES, ["hate"] * 7)[:, :, columns])


def test_the_network_is_one_hidden_layer_over_the_vector_and_the_weighted_features() -> None:
    adapter, texts = tiny.adapter(), ["hate speech", "spam", "", "bread", "a", "b", "c"]
    net = adapter.network
    assert net is not None
    bags = np.zeros((7, tiny.BUCKETS), dtype=np.float32)
    for row, text in enumerate(texts):
        places, values = adapter.lexicon.bag(text)
        bags[row, places] = values
    hidden = np.maximum(QUERIES @ net.dense + bags @ net.rows + net.bias, 0)

    found = net.logits(QUERIES, [adapter.lexicon.bag(text) for text in texts])

    assert np.allclose(found, hidden @ net.out + net.out_bias, atol=1e-5)


def test_the_words_of_a_label_are_compared_by_the_cosine_of_their_bags() -> None:
    adapter, texts = tiny.adapter(), ["hate speech is loathing", "", "bread"]
    terms = adapter.terms
    assert terms is not None
    of_labels = np.zeros((3, tiny.BUCKETS))
    for bucket in range(tiny.BUCKETS):
        for entry in range(terms.starts[bucket], terms.starts[bucket + 1]):
            of_labels[terms.labels[entry], bucket] += terms.values[entry]
    bags = [adapter.lexicon.bag(text) for text in texts]

    found = terms.similarities(bags, 3)

    for row, (places, values) in enumerate(bags):
        assert np.allclose(found[row], of_labels[:, places] @ values, atol=1e-5)


def test_probabilities_are_the_softmax_of_the_weighted_scores() -> None:
    adapter = tiny.adapter()
    weights = np.array([adapter.weights[feature] for feature in Feature], dtype=np.float32)

    found = adapter.probabilities(QUERIES, ["hate"] * 7)

    assert np.allclose(found, softmax(scores(adapter, QUERIES, ["hate"] * 7) @ weights))
    assert np.allclose(found.sum(axis=1), 1.0, atol=1e-5)


def test_an_answer_depends_on_its_own_text_alone() -> None:
    adapter = tiny.adapter()
    texts = [f"text {i}" for i in range(7)]

    together = adapter.answer(QUERIES, texts)

    for i, (label, confidence) in enumerate(together):
        alone = adapter.answer(QUERIES[i : i + 1], texts[i : i + 1])[0]
        assert alone[0] == label
        assert alone[1] == pytest.approx(confidence, abs=1e-5)


def test_the_confidence_is_the_calibrated_probability_of_the_best_label() -> None:
    flat = replace(tiny.adapter(), calibration=Line((0.0, 1.0), (0.7, 0.7)))

    assert {confidence for _, confidence in flat.answer(QUERIES, [""] * 7)} == {0.7}


def test_the_shipped_adapter_knows_what_it_was_taught() -> None:
    taught = [e for e in examples() if e.detector == FREE_TEXT and e.teaches]
    rows = np.stack([vectors()[e.text] for e in taught])

    answers = component().adapter.answer(rows, [e.text for e in taught])

    right = sum(label == e.labels[0] for e, (label, _) in zip(taught, answers, strict=True))
    assert right / len(taught) > 0.95
