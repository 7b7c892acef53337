"""Intervals are of whole clusters, fixed by their seed, and as wide as theory says."""

import math

import numpy as np
import pytest

from trimtab.evaluation.bootstrap import Clusters, interval, paired


def test_the_interval_is_the_normal_one_where_that_holds() -> None:
    rng = np.random.default_rng(9)
    values = rng.normal(0.1, 1.0, 4000)

    found = interval(values, [""] * 4000, 3)

    half = 1.96 * values.std() / math.sqrt(4000)
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=half / 8)
    assert found.high == pytest.approx(values.mean() + half, abs=half / 8)


def test_ninety_five_of_a_hundred_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(2)
    held = 0
    for number in range(100):
        effect = rng.normal(0.0, 0.3, 40)
        values = (rng.random(400) < np.repeat(0.5 + 0.3 * np.tanh(effect), 10)).astype(float)
        found = interval(values, [str(n // 10) for n in range(400)], number)
        held += found.low <= 0.5 <= found.high

    assert 86 <= held <= 100


def test_queries_of_one_cluster_are_no_independent_evidence() -> None:
    gain = np.repeat(np.random.default_rng(8).integers(0, 2, 40), 25).astype(np.float64)

    together = interval(gain, [str(i // 25) for i in range(1000)], 1)
    apart = interval(gain, [""] * 1000, 1)

    assert together.high - together.low > 3 * (apart.high - apart.low)


def test_the_same_seed_gives_the_same_interval_and_another_one_another() -> None:
    values = np.random.default_rng(1).random(50)

    one, same, other = (interval(values, [""] * 50, seed) for seed in (5, 5, 6))

    assert one == same
    assert (one.low, one.high) != (other.low, other.high)
    assert one.mean == other.mean


def test_a_paired_difference_is_of_the_same_queries() -> None:
    before = np.random.default_rng(1).random(300)

    found = paired(before + 0.1, before, Clusters([""] * 300, 1))

    assert (found.mean, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))


@pytest.mark.parametrize("queries", [400, 1100])
def test_every_metric_of_a_run_is_judged_on_the_same_draws(queries: int) -> None:
    values = np.random.default_rng(3).random(queries)
    clusters = Clusters([""] * queries, 4)

    first, other, again = (clusters.interval(v) for v in (values, 1.0 - values, values))

    assert first == again == interval(values, [""] * queries, 4)
    assert (other.low, other.high) == pytest.approx((1.0 - first.high, 1.0 - first.low))


def test_one_cluster_says_nothing_of_others() -> None:
    found = interval(np.array([1.0, 0.0]), ["a", "a"], 1)

    assert found.mean == 0.5
    assert found.shape() == {"mean": 0.5, "low": None, "high": None}
    assert "no interval" in found.text()


@pytest.mark.parametrize(("values", "clusters"), [([], []), ([1.0], ["a", "b"])])
def test_nothing_to_resample_is_refused(values: list[float], clusters: list[str]) -> None:
    with pytest.raises(ValueError, match="queries"):
        interval(np.array(values), clusters, 1)
