"""Our metrics are those of ir-measures, and the interval of a difference is that of whole clusters."""

import ir_measures
import numpy as np
import pytest
from ir_measures import RR, Qrel, R, ScoredDoc

from benchmarks.rerank_metrics import METRICS, paired_difference

THEIRS = {"R@1": R @ 1, "R@5": R @ 5, "MRR@10": RR @ 10, "Contain@50": R @ 50}
RANKS = np.random.default_rng(6).integers(0, 61, 500)
RANKS[:6] = (0, 1, 5, 6, 10, 11)


def test_every_metric_agrees_with_ir_measures_on_every_query() -> None:
    qrels = [Qrel(f"q{number}", "right", 1) for number in range(len(RANKS))]
    run = [
        ScoredDoc(f"q{number}", "right" if place == rank else f"wrong{place}", 100.0 - place)
        for number, rank in enumerate(RANKS.tolist())
        for place in range(1, 61)
    ]
    theirs = {
        (str(each.measure), each.query_id): each.value
        for each in ir_measures.iter_calc(list(THEIRS.values()), qrels, run)
    }

    for name, measure in THEIRS.items():
        ours = METRICS[name](RANKS)
        expected = [theirs[str(measure), f"q{number}"] for number in range(len(RANKS))]
        assert ours == pytest.approx(expected, abs=1e-9)


def test_an_answer_that_is_not_there_counts_for_nothing() -> None:
    assert [metric(np.array([0])).tolist() for metric in METRICS.values()] == [[0.0]] * 4


def test_the_difference_is_the_mean_over_queries() -> None:
    after, before = np.array([1.0, 1.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0, 0.0])

    found = paired_difference(after, before, ["a", "a", "b", "c"])

    assert found.mean == 0.5
    assert found.low <= found.mean <= found.high


def test_queries_of_one_cluster_are_no_independent_evidence() -> None:
    rng = np.random.default_rng(8)
    gain = np.repeat(rng.integers(0, 2, 40), 25).astype(np.float64)
    nothing = np.zeros_like(gain)

    together = paired_difference(gain, nothing, [str(i // 25) for i in range(1000)])
    apart = paired_difference(gain, nothing, [str(i) for i in range(1000)])

    assert together.high - together.low > 3 * (apart.high - apart.low)


def test_the_interval_is_the_normal_one_where_that_holds() -> None:
    rng = np.random.default_rng(9)
    gain = rng.normal(0.1, 1.0, 4000)

    found = paired_difference(gain, np.zeros(4000), [str(i) for i in range(4000)])

    half = 1.96 * gain.std() / np.sqrt(4000)
    assert found.low == pytest.approx(gain.mean() - half, abs=0.005)
    assert found.high == pytest.approx(gain.mean() + half, abs=0.005)


def test_the_same_seed_gives_the_same_interval() -> None:
    gain, names = np.arange(20.0) % 3 - 1, [str(i // 2) for i in range(20)]

    assert paired_difference(gain, gain * 0, names) == paired_difference(gain, gain * 0, names)
