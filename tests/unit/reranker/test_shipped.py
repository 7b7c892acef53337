"""The shipped components are what the trainer wrote, and this code still gives the answers they were judged by."""

import msgspec
import pytest

from benchmarks.rerank_train import COMPONENTS, DEFAULT, EARLIER
from services.reranker.component import SHIPPED, load_component
from services.reranker.ranking import rank
from tests.unit.reranker.pools import drawn, row

GOLDEN = {
    "mlp-full@1": [1.2e-05, 0.00014, 0.046805, 0.309103, 1.5e-05, 0.028675, 8.5e-05, 0.001731],
    "mlp-runbook4@1": [0.041106, 0.010596, 0.171676, 0.100903, 0.01685, 0.01797, 0.00471, 0.076526],
    "mlp-full@2": [0.000111, 0.000206, 0.118293, 0.532627, 5e-06, 0.0459, 0.00177, 0.000782],
    "mlp-runbook4@2": [
        0.129782,
        0.031955,
        0.271325,
        0.126431,
        0.157956,
        0.042417,
        0.019749,
        0.09976,
    ],
    "mlp-session@1": [8.6e-05, 0.000144, 0.152309, 0.672288, 5e-06, 0.038053, 0.001812, 0.000836],
}
"""Relevance of the candidates of ``drawn(21, 8)``, with a session where one is looked at: a formula that changes under trained weights shows here."""


def test_what_is_shipped_is_what_is_trained() -> None:
    assert {folder.name for folder in SHIPPED.iterdir()} == {*COMPONENTS, *EARLIER}


@pytest.mark.parametrize("reference", COMPONENTS)
def test_a_shipped_component_says_what_it_was_trained_on(reference: str) -> None:
    component = load_component(SHIPPED / reference)

    assert component.reference == reference
    assert component.card.feature_set == COMPONENTS[reference]
    assert component.card.training["command"] == "python -m benchmarks.rerank_train"
    assert {"data", "encoder", "retriever", "seed"} <= set(component.card.training)


@pytest.mark.parametrize("reference", COMPONENTS)
def test_a_shipped_component_says_how_far_its_scores_were_from_probabilities(
    reference: str,
) -> None:
    training = load_component(SHIPPED / reference).card.training

    for what in ("all", "first"):
        before, after = training[f"ece_{what}_before"], training[f"ece_{what}_after"]
        assert isinstance(before, float)
        assert isinstance(after, float)
        assert after < before


def test_without_a_session_the_component_that_knows_them_answers_as_the_default() -> None:
    default, knowing = (load_component(SHIPPED / each) for each in (DEFAULT, "mlp-session@1"))

    for seed in range(5):
        asked = drawn(seed, 50)
        one, other = rank(asked, default).reply, rank(asked, knowing).reply
        assert other.order == one.order
        assert other.scores == pytest.approx(one.scores, abs=1e-6)


def test_a_session_moves_what_is_near_to_it_and_nothing_else_is_read_off_it() -> None:
    knowing = load_component(SHIPPED / "mlp-session@1")
    asked = drawn(3, 50, with_session=True)
    silent = msgspec.structs.replace(asked, session=None)

    assert rank(asked, knowing).reply.scores != rank(silent, knowing).reply.scores
    assert (
        rank(asked, load_component(SHIPPED / DEFAULT)).reply
        == rank(silent, load_component(SHIPPED / DEFAULT)).reply
    )


@pytest.mark.parametrize("reference", GOLDEN)
def test_trained_weights_and_formulas_still_belong_together(reference: str) -> None:
    component = load_component(SHIPPED / reference)
    asked = drawn(21, 8, with_session=component.wants_session)

    found = rank(asked, component).reply.scores

    assert found == pytest.approx(GOLDEN[reference], abs=1e-4)


def test_a_candidate_that_is_best_in_everything_comes_first() -> None:
    """Plain sense, not a figure: nearest, most words, best answered tokens, best fused."""
    signals = drawn(5, 50)
    best = 17
    better = {}
    for name in ("fused", "cosine", "bm25", "maxsim"):
        values = getattr(signals, name).array()[0].copy()
        values[best] = values.max() * 1.3
        better[name] = row(values)

    reply = rank(msgspec.structs.replace(signals, **better), load_component(SHIPPED / DEFAULT))

    assert reply.reply.order[0] == best
