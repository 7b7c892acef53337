"""The shipped components are what the trainer wrote, and this code still gives the answers they were judged by."""

import msgspec
import pytest

from benchmarks.rerank_train import COMPONENTS
from services.reranker.component import SHIPPED, load_component
from services.reranker.ranking import rank
from tests.unit.reranker.pools import drawn, row

GOLDEN = {
    "mlp-full@1": [1.2e-05, 0.00014, 0.046805, 0.309103, 1.5e-05, 0.028675, 8.5e-05, 0.001731],
    "mlp-runbook4@1": [0.041106, 0.010596, 0.171676, 0.100903, 0.01685, 0.01797, 0.00471, 0.076526],
}
"""Relevance of the candidates of ``drawn(21, 8)``: a formula that changes under trained weights shows here."""


def test_what_is_shipped_is_what_is_trained() -> None:
    assert {folder.name for folder in SHIPPED.iterdir()} == set(COMPONENTS)


@pytest.mark.parametrize("reference", COMPONENTS)
def test_a_shipped_component_says_what_it_was_trained_on(reference: str) -> None:
    component = load_component(SHIPPED / reference)

    assert component.reference == reference
    assert component.card.feature_set == COMPONENTS[reference]
    assert component.card.training["command"] == "python -m benchmarks.rerank_train"
    assert {"data", "encoder", "retriever", "seed"} <= set(component.card.training)


@pytest.mark.parametrize("reference", COMPONENTS)
def test_trained_weights_and_formulas_still_belong_together(reference: str) -> None:
    found = rank(drawn(21, 8), load_component(SHIPPED / reference)).reply.scores

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

    reply = rank(msgspec.structs.replace(signals, **better), load_component(SHIPPED / "mlp-full@1"))

    assert reply.reply.order[0] == best
