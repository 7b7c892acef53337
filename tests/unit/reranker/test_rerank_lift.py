"""A component becomes the default only by lift over the fused order: the rule on rankings made up for it."""

import numpy as np
import pytest

from benchmarks.rerank_lift import Lift, Reranked, fit_to_be_default, table, verdicts

QUERIES = 400
CLUSTERS = [str(number // 2) for number in range(QUERIES)]


def ranks(found_share: float) -> np.ndarray:
    """Rank 1 for the first share of queries, 20 for the others."""
    return np.where(np.arange(QUERIES) < found_share * QUERIES, 1, 20).astype(np.int64)


def lift(*, trained: bool, **components: float) -> Lift:
    reranked = {
        name: Reranked(ranks(share), 0.3, share, 0.0, [0.1]) for name, share in components.items()
    }
    orders = {"dense": ranks(0.4), "BM25": ranks(0.4), "fused": ranks(0.5)}
    orders |= {name: each.ranks for name, each in reranked.items()}
    return Lift("docs", trained, CLUSTERS, orders, reranked)


@pytest.mark.parametrize(
    ("held_out", "unseen", "fit"),
    [
        pytest.param(0.6, 0.6, True, id="better-everywhere"),
        pytest.param(0.6, 0.5, True, id="better-where-trained-equal-elsewhere"),
        pytest.param(0.6, 0.4, False, id="worse-where-nothing-was-trained"),
        pytest.param(0.5, 0.6, False, id="no-better-where-trained"),
        pytest.param(0.505, 0.6, False, id="a-lift-that-may-be-chance"),
    ],
)
def test_the_default_needs_lift_over_the_fused_order(
    held_out: float, unseen: float, fit: bool
) -> None:
    lifts = [lift(trained=True, mlp=held_out), lift(trained=False, mlp=unseen)]

    assert fit_to_be_default(lifts, "mlp") is fit


def test_lift_over_dense_alone_is_not_enough() -> None:
    lifts = [lift(trained=True, mlp=0.45)]

    assert lifts[0].over("mlp", "dense").low > 0
    assert not fit_to_be_default(lifts, "mlp")


def test_the_fittest_component_is_named_and_the_unfit_is_not() -> None:
    lifts = [lift(trained=True, good=0.6, better=0.7, bad=0.45)]

    lines = verdicts(lifts, ["good", "better", "bad"])

    assert lines[-1] == "default: better"
    assert "bad: NOT fit" in lines[2]


def test_without_a_fit_component_the_fused_order_stands() -> None:
    assert verdicts([lift(trained=True, bad=0.45)], ["bad"])[-1] == (
        "default: none, the fused order stands"
    )


def test_the_table_shows_every_order_in_percent() -> None:
    lines = table(lift(trained=True, mlp=0.6)).splitlines()

    assert [line.split(" | ")[0] for line in lines[2:]] == ["| dense", "| BM25", "| fused", "| mlp"]
    assert "60.00 | 60.00 | 60.00 | 100.00 | +20.00 [" in lines[-1]
