"""The metrics are those of ir-measures, to 1e-9, with one right answer and with several."""

import ir_measures
import numpy as np
import pytest
from ir_measures import RR, Qrel, R, ScoredDoc, Success

from trimtab.evaluation.metrics import METRICS, measure, without_repeats

THEIRS = {"R@1": R @ 1, "R@5": R @ 5, "R@10": R @ 10, "MRR@10": RR @ 10, "Contain@50": Success @ 50}
RNG = np.random.default_rng(6)


def rankings(queries: int) -> tuple[list[list[str]], list[list[str]]]:
    """Rankings of 0 to 80 of 120 ids, and 1 to 6 relevant ids of which some are never found."""
    found, relevant = [], []
    for _ in range(queries):
        ids = [f"d{number}" for number in RNG.permutation(120)]
        found.append(ids[: int(RNG.integers(0, 81))])
        wanted = RNG.choice(140, size=int(RNG.integers(1, 7)), replace=False)
        relevant.append([f"d{number}" for number in wanted])
    return found, relevant


def test_every_metric_agrees_with_ir_measures_on_every_query() -> None:
    found, relevant = rankings(400)
    qrels = [Qrel(f"q{n}", each, 1) for n, ids in enumerate(relevant) for each in ids]
    run = [
        ScoredDoc(f"q{n}", each, float(1000 - place))
        for n, ids in enumerate(found)
        for place, each in enumerate(ids)
    ]
    theirs = {
        (str(each.measure), each.query_id): each.value
        for each in ir_measures.iter_calc(list(THEIRS.values()), qrels, run)
    }

    ours = measure(found, relevant)

    assert set(ours) == set(THEIRS) == set(METRICS)
    for name, values in ours.items():
        expected = [theirs.get((str(THEIRS[name]), f"q{n}"), 0.0) for n in range(len(found))]
        assert values == pytest.approx(expected, abs=1e-9), name
    assert 0.01 < ours["R@5"].mean() < ours["Contain@50"].mean() < 1.0


def test_with_one_right_answer_recall_is_the_share_of_queries_that_find_it() -> None:
    found = [["a", "b", "c"], ["b", "a"], ["c"], []]

    values = measure(found, [["a"]] * 4)

    assert values["R@1"].tolist() == [1, 0, 0, 0]
    assert values["R@5"].tolist() == values["Contain@50"].tolist() == [1, 1, 0, 0]
    assert values["MRR@10"].tolist() == [1.0, 0.5, 0.0, 0.0]


def test_what_comes_after_the_depth_counts_for_nothing() -> None:
    found = [[f"d{place}" for place in range(60)]]

    assert measure(found, [["d49"]])["Contain@50"].tolist() == [1.0]
    assert measure(found, [["d50"]])["Contain@50"].tolist() == [0.0]
    assert measure(found, [["d10"]])["MRR@10"].tolist() == [0.0]


@pytest.mark.parametrize("relevant", [[["a"]], [["a"], []]])
def test_a_query_without_right_answers_is_refused(relevant: list[list[str]]) -> None:
    with pytest.raises(ValueError, match="quer"):
        measure([["a"], ["b"]], relevant)


def test_an_id_counts_once_at_its_best_place() -> None:
    assert without_repeats(["a", "b", "a", "c"]) == ("a", "b", "c")
